"""Drive a real watch with random events, and check at each quiet point what is true.

    python -m tests.e2e.random_driver --seconds 3600 --seed 7

A seed makes a series of worlds. Each has its own options, layout and kind of target,
and the same files change in the same order whenever it is run again: --world N runs
one of them. What is found is printed with the events that led to it; exit status 1.
"""
from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import re
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from tests.support import random_files, recorder, sidecar, surroundings, truths
from tests.support.random_files import CHANGES, INERT, SWAPS, Act, Tree
from tests.support.targets import DEADLINE

PR_SET_CHILD_SUBREAPER = 36
# For root, a mode keeps no file from being read without these.
LIMITS = () if os.geteuid() else ('--bounding-set=-dac_override,-dac_read_search',)
KINDS = (
    'handler', 'handler', 'slow', 're-executes', 'hands over', 'renames', 'workers',
    'ends', 'act',
)
PAUSES = 0.0, 0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0
TARGET_ACTS = (
    Act('restart_target', 3), Act('execute_target'), Act('stop_target', 2),
    Act('second_target'), Act('end_on_signal', 2), Act('no_target', 1),
)
OWN_ACTS = Act('kill', 3), Act('terminate', 2), Act('kill_on', 4), Act('pause_it', 1)
REST = re.compile(r'version current, seen (\w+), delivered (\w+)')
PATIENCE = 80.0  # s for a quiet point
NUDGE = 2.0  # s until an operator's SIGHUP ends a wait that may last minutes


class World(NamedTuple):
    """One set of options, and what they are used on.

    ledger: whether the memory outlives the process. targets: see truths.History.
    """

    layout: str
    kind: str
    words: tuple[str, ...]
    ledger: bool
    validate: bool
    verify: bool
    pidfile: bool
    targets: int


def drawn(chance: random.Random) -> World:
    """Return a random world."""
    kind = chance.choice(KINDS)
    pidfile = chance.random() < 0.25
    # Without a ledger, a new pollreload cannot know the old name of a target.
    ledger = chance.random() < 0.7 or kind == 'renames'
    select = 'root' if kind == 'workers' else chance.choice(
        ('root', 'root', 'root', 'roots', 'newest', 'all'),
    )
    words: tuple[str, ...] = (
        '--interval', chance.choice(('50ms', '100ms', '300ms')),
        '--settle', chance.choice(('0', '100ms', '300ms')),
        '--survive', chance.choice(('0', '50ms', '200ms', '500ms')),
        '--min-uptime', chance.choice(('0', '0', '300ms')),
        '--rehash', chance.choice(('0', '500ms', '60s')),
        '--empty-grace', '500ms', '--on-start', 'auto', '-v',
        '--command-timeout', '20s',
    )
    if kind != 'act':
        words += (
            '--select', select, '--signal', 'TERM' if kind == 'ends' else 'HUP',
        )
    workers = kind == 'workers' and chance.random() < 0.5
    return World(
        chance.choice(random_files.LAYOUTS), kind,
        (*words, *(('--verify-workers',) if workers else ())), ledger,
        chance.random() < 0.25, kind != 'ends' and chance.random() < 0.2, pidfile,
        2 if select in ('roots', 'all') and kind != 'hands over' else 1,
    )


class Driver:
    """A world that goes on: its files, its targets, and pollreload.

    story: (time, source, text) of all that happened, to be printed.
    """

    def __init__(self, world: World, chance: random.Random, root: str) -> None:
        self.world, self.chance, self.root = world, chance, root
        self.name = sidecar.unique('rd')
        self.program = f'{root}/{self.name}'
        os.symlink(sys.executable, self.program)
        self.journal, self.pidfile = f'{root}/journal', f'{root}/pid'
        self.read = 0  # bytes of the journal
        with open(self.journal, 'x', encoding='utf-8'):
            pass
        os.mkdir(f'{root}/files')
        self.tree = Tree(
            f'{root}/files', world.layout, chance, self.polled, self.resting,
            world.validate,
        )
        self.lifeline, self.life = os.pipe()
        os.set_inheritable(self.lifeline, True)
        self.began: dict[int, float] = {}  # the targets that live
        self.have: dict[int, str] = {}
        self.ended: dict[int, float] = {}
        self.records: list[recorder.Record] = []
        self.events: list[sidecar.Event] = []
        self.story: list[tuple[float, str, str]] = []
        self.found: list[str] = []
        self.starts = self.kills = self.acts = self.points = self.nudges = 0
        self.stopped = False  # pollreload, by SIGSTOP
        self.taken = 0
        self.it: sidecar.Sidecar | None = None

    # What is there.

    def tell(self, source: str, text: str) -> None:
        """Add to the story."""
        self.story.append((time.time(), source, text))

    def command(self, *words: str) -> str:
        """Return a command line of the recorder."""
        return shlex.join((sys.executable, '-S', recorder.SCRIPT, *words))

    def arguments(self) -> list[str]:
        """Return the command line of pollreload."""
        world = self.world
        words = [*world.words]
        if world.kind == 'act':
            words += ['--exec', self.command('act', self.journal, *self.tree.paths)]
        elif world.pidfile:
            words += ['--pidfile', self.pidfile]
        else:
            words += ['--process', self.name]
        if world.ledger:
            words += ['--state-file', f'{self.root}/state/ledger']
        if world.validate:
            words += ['--validate', self.command('validate', *self.tree.paths)]
        if world.verify:
            words += [
                '--verify', self.command('verify', self.journal, *self.tree.paths),
            ]
        return [*words, *self.tree.paths]

    def start(self) -> sidecar.Sidecar:
        """Start pollreload, if it does not run, and return it."""
        if self.it is None:
            self.tell('driver', 'starts pollreload')
            self.it, self.taken = sidecar.watch(
                *self.arguments(), measured=False,
                under=('setpriv', '--pdeathsig', 'KILL', *LIMITS),
            ), 0
            if not self.world.ledger or not self.points:
                self.kills += 1
        return self.it

    def spawn(self) -> None:
        """Start a target, if it is a process."""
        if self.world.kind == 'act':
            return
        pid = os.posix_spawnp('setpriv', (
            'setpriv', *LIMITS, self.program, '-S', recorder.SCRIPT, self.world.kind,
            self.journal, self.pidfile, str(self.lifeline), *self.tree.paths,
        ), {'PYTHONPATH': sidecar.ROOT, 'PATH': os.environ['PATH']})
        self.tell('driver', f'starts target {pid}')
        self.began[pid] = time.time()
        self.starts += 1

    def pump(self) -> None:
        """Take in what happened: the log, the journal, and what has ended."""
        if self.it is not None:
            self.it.drain()
            self.take(self.it)
        with open(self.journal, encoding='utf-8') as file:
            file.seek(self.read)
            lines = file.read()
            self.read += len(lines.encode())
        for line in lines.splitlines():
            record = recorder.Record(*json.loads(line))
            self.records.append(record)
            self.have[record.pid] = record.version
            self.story.append((
                record.at, f'target {record.pid}', f'{record.why} {record.version}',
            ))
            if record.pid not in (*self.ended, recorder.COMMAND):
                self.began.setdefault(record.pid, record.at)
        self.reap()
        if self.world.kind == 'ends' and not self.began:
            self.spawn()

    def take(self, it: sidecar.Sidecar) -> None:
        """Take in what a pollreload has logged."""
        for event in it.seen[self.taken:]:
            if event['event'] not in ('polled', 'status'):
                self.events.append(event)
                self.story.append((
                    truths.at(event) if 'time' in event else time.time(),
                    f'pollreload {it.pid}', f'{event["event"]}: {event["message"]}',
                ))
        self.taken = len(it.seen)

    def reap(self) -> None:
        """Reap all children that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            if self.it is not None and pid == self.it.child.pid:
                self.found.append(f'pollreload has ended with {code}')
                self.it.drain()
                self.take(self.it)
                self.it = None
                continue
            if code == -signal.SIGHUP:
                self.found.append(f'pid {pid} died of SIGHUP')
            self.ended[pid] = time.time()
            if self.began.pop(pid, 0.0):
                self.tell('driver', f'reaps target {pid}: {code}')

    # What the driver waits for.

    def wait(self, seconds: float) -> None:
        """Let time pass, and take in what happens."""
        until = time.monotonic() + seconds
        while True:
            self.pump()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.02))

    def polled(self) -> bool:
        """Wait until pollreload has polled twice; return whether it has."""
        it = self.it
        if it is None or self.stopped:
            return False
        self.pump()
        before = it.count('polled')
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until and self.it is it:
            self.wait(0.02)
            if it.count('polled') >= before + 2:
                return True
        return False

    def resting(self) -> bool:
        """Return whether nothing is due, and one target has the version."""
        if self.it is None or self.stopped or not self.it.count('started'):
            return False
        self.pump()
        return self.it is not None and self.at_rest(self.it.status())

    def logged(self, *names: str) -> bool:
        """Wait a moment until one of these events is logged; return whether it is."""
        before = len(self.events)
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            self.pump()
            if any(each['event'] in names for each in self.events[before:]):
                return True
            time.sleep(0.001)
        return False

    # What happens to the targets.

    def end_target(self, pid: int) -> None:
        """Kill a target and reap it."""
        self.tell('driver', f'kills target {pid}')
        os.kill(pid, signal.SIGKILL)
        while pid in self.began:
            self.reap()
            time.sleep(0.001)

    def newest(self) -> int:
        """Return the target that started last, 0 if there is none."""
        return max(self.began, key=lambda pid: self.began[pid], default=0)

    def restart_target(self) -> None:
        """Kill all targets, and start one."""
        for pid in (*self.began,):
            self.end_target(pid)
        self.wait(self.chance.choice(PAUSES))
        if not self.began:
            self.spawn()

    def no_target(self) -> None:
        """Kill all targets, and leave that to be found."""
        for pid in (*self.began,):
            self.end_target(pid)

    def execute_target(self) -> None:
        """Have the newest target execute itself, once it can take the signal."""
        pid = self.newest()
        if pid and pid in self.have:
            self.tell('driver', f'has target {pid} execute itself')
            os.kill(pid, signal.SIGUSR2)

    def stop_target(self) -> None:
        """Stop the newest target for a while."""
        pid = self.newest()
        if pid:
            self.tell('driver', f'stops target {pid}')
            os.kill(pid, signal.SIGSTOP)
            self.wait(self.chance.choice(PAUSES))
            if self.chance.random() < 0.5:
                self.change()
                self.wait(self.chance.choice(PAUSES))
            if pid in self.began:
                self.tell('driver', f'continues target {pid}')
                os.kill(pid, signal.SIGCONT)

    def second_target(self) -> None:
        """Start another target, and end the first a while later."""
        old = (*self.began,)
        self.spawn()
        self.wait(self.chance.choice(PAUSES))
        for pid in old:
            if pid in self.began:
                self.end_target(pid)

    def end_on_signal(self) -> None:
        """Kill a target that was just signalled, change the files, and start one."""
        self.change()
        if self.logged('signalled'):
            self.wait(self.chance.choice(PAUSES[:5]))
            self.no_target()
            if self.chance.random() < 0.5:
                self.logged('failed')
            if self.chance.random() < 0.7:
                self.change()
        if not self.began:
            self.spawn()

    # What happens to pollreload.

    def kill(self) -> None:
        """Kill pollreload, and start it again after a while."""
        it = self.it
        if it is not None:
            self.tell('driver', f'kills pollreload {it.pid}')
            os.kill(it.pid, signal.SIGKILL)
            self.kills += 1
            self.away(it)

    def away(self, it: sidecar.Sidecar) -> None:
        """Take the last lines of a pollreload that ends, and start another."""
        it.child.wait(DEADLINE)
        it.drain()
        self.take(it)
        it.end()
        self.it = None
        self.wait(self.chance.choice(PAUSES))
        if self.chance.random() < 0.3:
            self.change()
        self.start()

    def kill_on(self) -> None:
        """Kill pollreload in the middle of a delivery."""
        self.change()
        self.logged(self.chance.choice(('changed', 'signalled', 'delivered')))
        self.kill()

    def terminate(self) -> None:
        """End pollreload by SIGTERM, and start it again after a while."""
        it = self.it
        if it is not None:
            self.tell('driver', f'terminates pollreload {it.pid}')
            it.send(signal.SIGTERM)
            self.kills += 1
            self.away(it)

    def pause_it(self) -> None:
        """Stop pollreload for a while."""
        it = self.it
        if it is not None:
            self.tell('driver', f'stops pollreload {it.pid}')
            it.send(signal.SIGSTOP)
            self.stopped = True
            self.change()
            self.wait(self.chance.choice(PAUSES))
            self.tell('driver', f'continues pollreload {it.pid}')
            it.send(signal.SIGCONT)
            self.stopped = False

    def ask(self) -> None:
        """Send pollreload SIGHUP."""
        if self.it is not None and self.it.count('started'):
            self.tell('driver', 'sends SIGHUP to pollreload')
            self.it.send(signal.SIGHUP)

    # The history.

    def change(self) -> None:
        """Change the files."""
        self.act(SWAPS if self.world.layout == 'data' else CHANGES)

    def act(self, acts: Sequence[Act]) -> None:
        """Do one of some acts."""
        name = self.chance.choices(acts, [each.weight for each in acts])[0].name
        self.acts += 1
        if hasattr(self.tree, name):
            self.tell('driver', f'files: {name}')
            self.tree.do(name)
            self.tell('driver', f'files: {name} done: {self.version()[:200]}')
        else:
            getattr(self, name)()

    def version(self) -> str:
        """Return the version that is there."""
        return recorder.version(self.tree.paths)

    def round(self) -> None:
        """Do some acts, and check at the quiet point after them."""
        calm = self.chance.random() < 0.25
        for _ in range(self.chance.randint(1, 8)):
            kind = self.chance.random()
            if calm and kind < 0.5:
                self.act(INERT)
            elif calm and kind < 0.8:
                self.act((Act('restart_target'), Act('execute_target'), Act('ask')))
            elif calm:
                if self.world.ledger:
                    self.act((Act('kill'), Act('terminate'))[:2])
            elif kind < 0.6:
                self.change()
            elif kind < 0.7:
                self.act(INERT)
            elif kind < 0.85:
                self.act(TARGET_ACTS)
            else:
                self.act((*OWN_ACTS, Act('ask')))
            self.wait(self.chance.choice(PAUSES))
        self.quiet()

    def one_target(self) -> None:
        """Leave one target, after the time that a successor takes to start."""
        until = time.monotonic() + 1.0
        while len(self.began) > 1 and time.monotonic() < until:
            self.wait(0.02)
        keep = self.newest()
        for pid in (*self.began,):
            if pid != keep and pid in self.began:
                self.end_target(pid)
        if not self.began:
            self.spawn()

    def at_rest(self, status: str) -> bool:
        """Return whether nothing is due, and one target has the version."""
        it = REST.fullmatch(status)
        read = [*self.living().values()]
        return it is not None and it[1] == it[2] and read == [self.version()]

    def living(self) -> dict[int, str]:
        """Return the version that each living target has read last, '' for none."""
        pids = [*self.began] if self.world.kind != 'act' else [recorder.COMMAND]
        return {pid: self.have.get(pid, '') for pid in pids}

    def quiet(self) -> None:
        """Wait until all is done, and check what must be true then."""
        self.tell('driver', 'waits for a quiet point')
        until, nudge = time.monotonic() + PATIENCE, time.monotonic() + NUDGE
        self.tree.repair()
        self.start()
        status = ''
        while time.monotonic() < until:
            self.one_target()
            if not self.polled() or self.it is None:
                break
            status = self.it.status()
            self.take(self.it)
            if self.at_rest(status) and self.polled() and self.it is not None:
                status = self.it.status()
                self.pump()
                if self.at_rest(status):
                    break
            if 'held: limit' in status:
                self.tree.replace()
            if time.monotonic() > nudge and (
                    'failed attempts' in status or 'feedback loop' in status
                    or 'breaker' in status
            ):
                self.nudges += 1
                self.ask()
                nudge = time.monotonic() + NUDGE
        else:
            self.found.append(f'no rest within {PATIENCE:g} s: {status}')
        self.points += 1
        self.check()

    def check(self) -> None:
        """Add what is not true of the history since the last quiet point."""
        found = truths.violations(self.history())
        if found:
            # A target that is alive with nothing pending may still be busy with it.
            self.wait(1.0)
            found = truths.violations(self.history())
        self.found += found
        self.records, self.events, self.ended = [], [], {}
        self.starts = self.kills = 0
        self.tree.rest()
        self.tell('driver', f'quiet point {self.points}: {self.version()[:200]}')

    def history(self) -> truths.History:
        """Return all that happened since the last quiet point."""
        return truths.History(
            tuple(self.records), tuple(self.events), self.ended, self.tree.changes,
            frozenset(self.tree.touched), self.starts, self.kills, self.world.targets,
            self.version(), self.living(),
        )

    def run(self, until: float) -> None:
        """Go on until a time (monotonic), or the first violation."""
        self.spawn()
        self.start()
        self.quiet()
        # What is there at first is delivered if it is newer than the target.
        while time.monotonic() < until and not self.found:
            self.round()

    def end(self) -> None:
        """End all that runs."""
        if self.it is not None:
            self.it.send(signal.SIGCONT)
            self.it.end()
            self.it = None
        os.close(self.life)
        os.close(self.lifeline)
        for pid in self.began:
            os.kill(pid, signal.SIGCONT)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)

    def told(self, most: int) -> str:
        """Return the end of the story."""
        return '\n'.join(
            f'  {when % 1000:8.3f} {source:18} {text[:300]}'
            for when, source, text in sorted(self.story, key=lambda it: it[0])[-most:]
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run worlds for a time; return 1 if something was found."""
    parser = argparse.ArgumentParser(
        description='Drive pollreload with random events.',
    )
    parser.add_argument('--seconds', type=float, default=60.0)
    parser.add_argument('--seed', default=os.urandom(3).hex())
    parser.add_argument('--world', type=int, help='only this one of the series')
    parser.add_argument('--each', type=float, default=10.0, help='seconds of a world')
    parser.add_argument('--lines', type=int, default=80, help='of the story')
    asked = parser.parse_args(arguments)
    surroundings.reset()
    # What a target or pollreload leaves behind is reaped here.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    print(f'seed {asked.seed}', flush=True)
    until = time.monotonic() + asked.seconds
    number = asked.world or 0
    acts = points = nudges = wrong = 0
    while time.monotonic() < until:
        chance = random.Random(f'{asked.seed}/{number}')
        world = drawn(chance)
        with tempfile.TemporaryDirectory(prefix='driver-') as root:
            driver = Driver(world, chance, root)
            try:
                driver.run(min(until, time.monotonic() + asked.each))
            except BaseException:
                print(f'world {number}: {world}\n{driver.told(asked.lines)}')
                raise
            finally:
                driver.end()
        acts, points = acts + driver.acts, points + driver.points
        nudges += driver.nudges
        if driver.found:
            wrong += 1
            print(
                f'--seed {asked.seed} --world {number}: {world}\n'
                f'{driver.told(asked.lines)}\n' + '\n'.join(driver.found), flush=True,
            )
        number = number + 1 if asked.world is None else number
    print(
        f'seed {asked.seed}: {number} worlds, {acts} acts, {points} quiet points, '
        f'{nudges} nudges, {wrong} worlds with violations',
    )
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
