"""A simulated world for the pure core: a clock, files, targets, commands, a ledger.

Actions (--exec and --url) succeed unless spoil() sets how the next ones end.

Nothing here sleeps and nothing is random. A Simulation calls step.step at the times
that observation.wake returns. At each signal and each event it checks that what
pollreload does and logs is true of the world as it is.
"""
from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pollreload.core import ledger_format, observation
from pollreload.core import step as step_module
from pollreload.core.attempt import READ_IT, Member
from pollreload.core.process import (
    BASH,
    ENDING,
    Choice,
    Masks,
    Process,
    choose,
    disposition,
)
from pollreload.core.reading import EMPTY, SOCKET, Reading, Snapshot
from pollreload.core.stage import word
from pollreload.core.state import State, World, notified_targets
from pollreload.settings import Settings, acts, bare, sends_signal

TICKS = 100
COMMAND = 0.25  # s that a command takes
HERE = ledger_format.Here('watch', 'boot', 'pid:[1]')
MOST_STEPS = 12  # without time passing: more would be a busy loop


class Target(NamedTuple):
    """A process of the world, and what is true of it.

    first, has: the version that it read when it started, and that it has now.
    dies, refuses, stopped: how it takes the signal. deaf: it takes it, but does not
        reload (no new worker, --verify fails).
    notified, at: the version that it was last signalled for, and when.
    again: it may be signalled for that version again: an attempt failed since,
        another version was delivered, or pollreload lost its memory.
    blind: what it read cannot be known: the version came and went between two polls,
        or the parent that forked it has exited.
    stack: where its stack begins; only a child that was forked has that of another.
    unblocks: with the disposition 'blocked', at each how many 20ths of a second it
        would die of the signal; 0: never.
    spawns: with the disposition 'blocked', whether it does so to start a child, in
        a vfork that takes as long as the child likes.
    starting: it has read its files, and has had no handler since it started.
    inherits: it has what a parent had read that went to the background.
    stay: the period of one version in which it read the files.
    hands_over: it takes the signal by starting a successor and exiting.
    renamed: it has another comm now.
    generation: it is no worker of its parent, but a generation of its own.
    arguments: those that follow its name.
    """

    pid: int
    ppid: int
    started: int
    first: str
    has: str
    disposition: str = 'caught'
    dies: bool = False
    refuses: bool = False
    stopped: bool = False
    deaf: bool = False
    pending: bool = False
    notified: str = ''
    at: float = 0.0
    again: bool = False
    blind: bool = False
    stack: int = 0
    unblocks: int = 0
    spawns: bool = False
    starting: bool = False
    inherits: bool = False
    stay: int = 0
    hands_over: bool = False
    renamed: bool = False
    generation: bool = False
    arguments: tuple[str, ...] = ()


class Sent(NamedTuple):
    """One signal: when, to which pid, for which version, and which was current then."""

    at: float
    pid: int
    version: str
    current: str


class Act(NamedTuple):
    """One action: when it began, its number, its version, and how it ended.

    how: 'under way', 'good', 'fail', 'hang' (until it was ended), 'die', or
        'absent' if it could not be started.
    """

    at: float
    number: int
    version: str
    current: str
    how: str = 'under way'


class Event(NamedTuple):
    """One event as it was logged."""

    at: float
    event: str
    message: str
    fields: Mapping[str, object]


def blob(label: str) -> bytes:
    """Return the digest of a version that goes by a label."""
    return EMPTY if label == 'empty' else label.encode().ljust(16, b'.')


def label(digest: bytes) -> str:
    """Return the label of a version by its digest."""
    if digest == EMPTY:
        return 'empty'
    return digest.rstrip(b'.').decode() or 'unreadable'


def fingerprint(paths: Sequence[Mapping[str, bytes] | None]) -> str:
    """Return a fingerprint that a user can read: 'f=A,n=N;...'."""
    return ';'.join(
        '?' if files is None
        else ','.join(f'{name}={label(files[name])}' for name in sorted(files)) or '-'
        for files in paths
    )


def version_of(found: str) -> str:
    """Return the label of the version behind a fingerprint, by its first path."""
    name, _, rest = found.partition(';')[0].partition('=')
    return rest.partition(',')[0] if name in ('', 'f') else 'gone'


class Simulation:
    """The world of one watch of one path, and the state of pollreload in it.

    layout: 'file', or 'directory' for a file 'f' beside a neighbour 'n'.
    opaque: pollreload cannot see where the stack of a process begins.
    """

    def __init__(
            self, settings: Settings, layout: str = 'file', version: str = 'A',
            targets: int = 1, opaque: bool = False,
    ) -> None:
        self.settings = settings
        self.layout = layout
        self.now = 1000.0
        self.woke = 0
        self.version = version
        self.readable = True
        self.reason = ''  # why the files are not readable
        self.changing = False
        self.missing = False  # nothing is at the path
        self.lost = False  # the directory has nothing in it
        self.neighbour = 'N'  # the version of the neighbour
        self.bound = False  # the directory has a socket in it
        self.beside = ''  # a second path: '', 'there' or 'away'
        self.refusal = 'refused'  # how the kernel refuses a signal, signals.send()
        self.dated = 900.0  # mtime of the files, on the only clock of the world
        self.changes: tuple[float, ...] = ()
        self.stay = 0
        self.turns = 0  # changes of the files, including a part that was missing
        self.delivering = '', 0  # the version notified last, and the turns by then
        self.polled = False  # whether any poll read the current version
        self.seen = ''  # the version that the last poll read
        self.had = ''  # the version that was delivered last
        self.hangs_until = 0.0
        self.hung = False
        self.opaque = opaque
        self.targets: dict[int, Target] = {}
        self.dead: dict[int, float] = {}
        self.last_pid = 100
        self.invalid_until = 0.0
        self.unverified_until = 0.0
        self.command: tuple[str, int, float] | None = None  # name, pid, its end
        self.takes = COMMAND
        self.verified: Mapping[int, float] = {}
        self.acts: tuple[Act, ...] = ()
        self.spoilt: tuple[str, ...] = ()  # how the next actions end
        # The version that the last action belongs to, and how many have succeeded.
        self.acting = '', 0
        self.answer = ''  # the outcome of the last request
        self.from_first = True  # the first action may run again
        self.marked = ''  # the version of the attempt in the ledger
        self.ledger: State | None = None
        self.state = State()
        self.sent: tuple[Sent, ...] = ()
        self.events: tuple[Event, ...] = ()
        for _ in range(targets):
            self.start()
        for pid in self.targets:
            self.alter(pid, started=95_000)
        self.world = self.callbacks()

    def copy(self) -> Simulation:
        """Return an independent copy of this world."""
        other = copy.copy(self)
        other.targets = dict(self.targets)
        other.dead = dict(self.dead)
        other.world = other.callbacks()
        return other

    def stage(self) -> str:
        """Return the name of the delivery stage, or '' if no delivery is under way."""
        return word(self.state.stage) if self.state.stage else ''

    def messages(self, *events: str) -> list[str]:
        """Return the messages of the events of some names, in order."""
        return [each.message for each in self.events if each.event in events]

    def equals(self, other: Simulation) -> bool:
        """Return whether two worlds are equal in everything but their callbacks."""
        these, others = {**vars(self)}, {**vars(other)}
        del these['world'], others['world']
        # Two stages with equal fields are equal tuples.
        return these == others and type(self.state.stage) is type(other.state.stage)

    # What happens in the world.

    def put(self, version: str, changing: bool = False) -> None:
        """Replace the files; changing: and write another version before every poll."""
        if version == 'gone' and self.layout == 'file':
            # A path that disappears is unreadable, and no change (rule 5).
            self.hide()
            return
        if version != self.version or self.changing:
            if not self.polled:
                self.targets = {
                    pid: each._replace(blind=each.blind or each.stay == self.stay)
                    for pid, each in self.targets.items()
                }
            self.stay += 1
            self.turns += 1
            self.polled = False
            self.dated = self.now
            self.changes = (*self.changes[-3:], self.now)
        self.turns += self.layout == 'directory' and not self.readable
        self.version, self.changing, self.readable = version, changing, True
        self.missing = self.lost = False

    def hide(self, reason: str = 'permission denied') -> None:
        """Make the files unreadable for pollreload, though not for the targets.

        reason: of a member; 'no such file' if its volume should have it.
        """
        if self.layout == 'directory' and self.readable:
            self.changes = (*self.changes[-3:], self.now)
            self.turns += 1
        self.readable, self.reason = False, reason

    def bind(self) -> None:
        """Make a socket in the directory, or remove it: no content either way."""
        self.bound = not self.bound

    def hang(self, seconds: float) -> None:
        """Let the next poll hang for some seconds."""
        self.hangs_until = self.now + seconds

    def root(self) -> Target | None:
        """Return the youngest live target without a live parent, if there is one."""
        roots = self.roots()
        return roots[-1] if roots else None

    def roots(self) -> list[Target]:
        """Return the live targets without a live parent, the oldest first."""
        return [it for it in self.targets.values() if it.ppid not in self.targets]

    def rivals(self) -> list[int]:
        """Return the older roots, where only one may be notified."""
        older = [each.pid for each in self.roots()[:-1]]
        return older if self.settings.select == 'root' else []

    def start(self, ppid: int = 1) -> int:
        """Start a target, which reads the current version."""
        self.last_pid += 1
        self.targets[self.last_pid] = Target(
            self.last_pid, ppid, int(self.now * TICKS), self.version, self.version,
            stay=self.stay, stack=self.last_pid,
        )
        pid = self.last_pid
        if ppid == 1:
            self.fork_of(pid)
        return pid

    def end(self, pid: int) -> None:
        """End a target and its workers."""
        for each in list(self.targets.values()):
            if pid in (each.pid, each.ppid):
                del self.targets[each.pid]
                self.dead[each.pid] = self.now

    def end_all(self) -> None:
        """End every target."""
        for pid in list(self.targets):
            self.end(pid)

    def restart(self) -> None:
        """End every target and start one."""
        self.end_all()
        self.start()

    def start_slowly(self) -> None:
        """Restart with a target that installs its handlers only once it is warm."""
        self.restart()
        self.alter_root(starting=True, disposition='default')

    def daemonize(self) -> None:
        """Let a root that is warm go to the background: its child takes over."""
        root = self.root()
        if root is not None and root.starting:
            self.end(root.pid)
            # A limit: most programs have no handler for what is to end them, so that
            # does not show that this one was still starting.
            self.alter(
                self.start(), first=root.first, has=root.has, stay=root.stay,
                blind=root.blind or (self.ends() and self.opaque), inherits=True,
                stack=root.stack,
            )

    def upgrade(self) -> None:
        """Let the root start another generation, which reads the files itself."""
        root = self.root()
        if root is not None:
            self.fork_of(root.pid)  # as many as it has generations
            generation = self.start(root.pid)
            self.alter(generation, generation=True)
            self.fork_of(generation)

    def rename(self) -> None:
        """Let the root change its comm, once it has been notified."""
        root = self.root()
        if root is not None and (root.pid, root.started) in {
                each.name for each in notified_targets(self.state)
        }:
            self.alter(root.pid, renamed=True)

    def retire(self) -> None:
        """Let the root exit; its children live on without a parent that matches."""
        root = self.root()
        if root is not None:
            del self.targets[root.pid]
            self.dead[root.pid] = self.now
            for each in list(self.targets.values()):
                if each.ppid == root.pid:
                    # A limit: an orphan seems to have read the files itself.
                    orphan = not each.generation and self.opaque
                    self.alter(each.pid, ppid=1, blind=each.blind or orphan)

    def fork(self) -> None:
        """Let the root fork a worker, which has the same version as the root."""
        root = self.root()
        if root is not None:
            pid = self.start(root.pid)
            self.alter(pid, has=root.has, first=root.has, stay=root.stay,
                        blind=root.blind, stack=root.stack)

    def alter(self, pid: int, **changes: object) -> None:
        """Change what is true of a target."""
        self.targets[pid] = self.targets[pid]._replace(**changes)  # type: ignore[arg-type]

    def alter_root(self, **changes: object) -> None:
        """Change how the root behaves."""
        root = self.root()
        if root is not None:
            self.alter(root.pid, **changes)

    def make_ready(self) -> None:
        """Let every target take the signal as it should, also one that it got."""
        waiting = [
            each.pid for each in self.targets.values()
            if each.pending or (self.ends() and each.at)
        ]
        for pid in list(self.targets):
            self.alter(
                pid, disposition='caught', dies=False, refuses=False, stopped=False,
                deaf=False, hands_over=False, starting=False,
            )
        for pid in waiting:
            if pid in self.targets:  # it may have ended together with another
                self.take(pid)

    def go_on(self) -> None:
        """Continue the root, if it is stopped: it takes the pending signal."""
        root = self.root()
        if root is not None:
            self.alter(root.pid, stopped=False)
            if root.pending:
                self.take(root.pid)

    def take(self, pid: int) -> None:
        """Let a target take the signal: it reads the files, or dies of it."""
        target = self.targets[pid]._replace(pending=False)
        self.targets[pid] = target
        if target.dies or target.disposition == 'default' or (
                self.settings.signal.name in ENDING and not target.deaf
        ):
            self.end(pid)
        elif target.hands_over and target.disposition != 'ignored':
            self.end(pid)
            self.alter(self.start(), hands_over=True, renamed=target.renamed)
        elif target.disposition != 'ignored':
            self.alter(
                pid, has=self.version, stay=self.stay, blind=False, inherits=False,
            )
            if not target.deaf:
                workers = [
                    each.pid for each in self.targets.values()
                    if each.ppid == pid and not each.generation
                ]
                for worker in workers:
                    self.end(worker)
                for _ in workers or [pid]:  # a reload keeps the number of workers
                    self.fork_of(pid)

    def fork_of(self, pid: int) -> None:
        """Let a target start a worker, if --verify-workers is set."""
        if self.settings.verify_workers:
            self.alter(self.start(pid), stack=self.targets[pid].stack)

    def refuse_for(self, validate: float = 0.0, verify: float = 0.0) -> None:
        """Let --validate or --verify fail for some seconds."""
        self.invalid_until = max(self.invalid_until, self.now + validate)
        self.unverified_until = max(self.unverified_until, self.now + verify)

    def spoil(self, *how: str) -> None:
        """Set how the next actions end: 'good', 'fail', 'hang', 'die' or 'absent'."""
        self.spoilt = how

    def send_hup(self) -> None:
        """Send SIGHUP to pollreload: it polls at the next step."""
        self.state = step_module.poll_now(self.state, self.now)

    def crash(self, keep: bool) -> None:
        """Kill pollreload and start it again, with or without its ledger."""
        attempt = self.ledger.attempt if self.ledger is not None else None
        midway = bool(self.state.stage) or (attempt is not None and any(
            each.phase not in ('failed', 'up to date') for each in attempt.targets
        ))
        if midway or not keep:
            self.targets = {
                pid: each._replace(
                    again=True,
                    # A limit: without a ledger only the times of the processes and
                    # the files tell who has read what.
                    blind=each.blind or (each.inherits and not keep),
                ) for pid, each in self.targets.items()
            }
        self.command, self.hung = None, False
        revived = None
        if keep and self.ledger is not None:
            written = json.dumps(ledger_format.dump(self.ledger, HERE))
            revived = ledger_format.revive(json.loads(written), HERE, fingerprint)
        self.from_first = self.from_first or revived is None
        self.state = State() if revived is None else revived
        self.ledger = self.ledger if keep else None

    # How time passes.

    def run(self, seconds: float) -> None:
        """Let time pass, and call step whenever pollreload would wake."""
        end = self.now + seconds
        steps, last = 0, self.now
        while True:
            at = max(self.now, self.wake())
            if at > end:
                self.now = end
                return
            self.now = at
            self.woke += 1
            self.step()
            steps = steps + 1 if at == last else 1
            last = at
            assert steps < MOST_STEPS, f'busy at {at}: {self.state}'

    def wake(self) -> float:
        """Return when pollreload wakes: at its own time, or when a child ends."""
        times = [observation.wake(self.state)]
        if self.command is not None:
            times.append(self.command[2])
        if self.hung:
            times.append(self.hangs_until)
        return min(times)

    def step(self) -> None:
        """Step once, and check that a version is delivered only if that is true."""
        before = self.state
        logged = len(self.events)
        self.state = step_module.step(self.settings, before, self.world)
        done = self.state.version.delivered
        self.had = version_of(done) if done else self.had
        if done and done != before.version.delivered and not any(
                event.event == 'baseline' and 'reason' not in event.fields
                for event in self.events[logged:]
        ):
            signalled = any(it.event == 'signalled' for it in self.events[logged:])
            self.check_done(version_of(done), bool(before.stage) or signalled)

    def check_done(self, version: str, signalled: bool) -> None:
        """Check that each target was notified of a version, or started with it."""
        self.check_acted(version)
        if not sends_signal(self.settings):
            return
        names = self.state.round if signalled else tuple(
            (each.pid, each.started) for each in self.choice().targets
        )
        for pid, started in names:
            target = self.targets.get(pid)
            if target is None or target.started != started or target.blind:
                continue
            if version == 'unreadable':
                continue  # for pollreload; the target can read the files
            if target.stay == self.stay:
                continue  # it started with a version that no poll has seen yet
            had = version in (target.notified, target.has)
            assert had, f'{version} is not delivered: {target}'

    def check_acted(self, expected: str) -> None:
        """Check that all actions succeeded for a version, and --verify as well."""
        version, count = self.acting
        if not acts(self.settings):
            return
        all_of_it = len(self.settings.exec) + len(self.settings.url)
        done = version, count
        assert done == (expected, all_of_it), f'{expected} is not done: {done}'
        if self.settings.verify and not sends_signal(self.settings):
            since = self.verified.get(0, 0.0)
            assert since > self.acts[-1].at, f'{expected} is not verified'

    # The callbacks of state.World: what pollreload can observe and do.

    def callbacks(self) -> World:
        """Return the callbacks with which the core observes this world and acts on it.
        """
        return World(
            now=lambda: self.now, jitter=lambda: 0.5, read=self.read,
            digest=fingerprint, targets=self.choice, absent=lambda: 'no app',
            born=lambda it: it.started / TICKS,
            masks=self.masks, health=self.health, send=self.send,
            gone=lambda it: self.health(it, 1) == 'gone', below=lambda it: None,
            program=lambda it: '',
            family=self.family, run=self.run_command,
            ask=lambda url: self.run_command((url,), {}), ran=self.ran,
            cancel=self.cancel, output=self.output, save=self.save, say=self.say,
            ticks=TICKS, splay=self.settings.splay, us='uid 1',
            entitle=lambda: 'run as the same uid, or as root with CAP_KILL',
            stack=self.stack_of,
        )

    def read(self, dates: bool) -> Snapshot | None:
        """Read the watched path."""
        self.hung = self.now < self.hangs_until
        if self.hung:
            return None
        if self.changing and self.now > self.dated:
            self.put(f'torn{self.stay}', changing=True)
        if self.missing:
            counts = self.settings.on_missing == 'notify'
            self.seen = 'gone' if counts else 'missing'
            return Snapshot((Reading('', {}, {'': 'no such file'}),))
        sockets = {'s': SOCKET} if self.bound else {}
        if self.lost:
            self.seen = 'gone'
            return Snapshot((Reading('directory', {}, sockets),))
        if not self.readable:
            self.seen = 'unreadable'
            return Snapshot((self.unreadable(),))
        self.polled, self.seen = True, self.version
        second = {
            '': (), 'there': (Reading('file', {'': blob('N')}, {}),),
            'away': (Reading('', {}, {'': 'no such file'}),),
        }[self.beside]
        files = {} if self.version == 'gone' else {'f': blob(self.version)}
        if self.layout == 'directory':
            sight = Reading('directory', {**files, 'n': blob(self.neighbour)}, sockets)
        else:
            sight = Reading('file', {'': blob(self.version)}, {})
        return Snapshot((sight, *second), self.dated)

    def unreadable(self) -> Reading:
        """Return the reading of a path that cannot be read."""
        if self.layout == 'directory':
            return Reading('directory', {'n': blob(self.neighbour)}, {'f': self.reason})
        return Reading('', {}, {'': 'permission denied'})

    def choice(self) -> Choice:
        """Return the targets, selected as runtime.targets does."""
        before = {
            each.name: each.since for each in notified_targets(self.state)
            if each.phase == 'up to date' or each.sends
        }
        return choose([
            Process(
                each.pid, each.ppid, each.started, 'app', ('app', *each.arguments), 0,
            )
            for each in self.targets.values()
            if not each.renamed or ((each.pid, each.started) in before and (
                each.disposition not in ('ignored', 'default', 'unknown')
            ))
        ], self.settings.select, None if self.ends() else self.disposed, before)

    def ends(self) -> bool:
        """Return whether the signal is meant to end the target."""
        return self.settings.signal.name in ENDING

    def disposed(self, process: Process) -> str:
        """Return the disposition of a process."""
        number = self.settings.signal.number
        return disposition(self.masks(process.pid), number, False, False)

    def stack_of(self, process: Process) -> int:
        """Return where the stack of a process begins; 0: unknown."""
        target = self.targets.get(process.pid)
        if self.opaque or target is None or target.started != process.started:
            return 0
        return target.stack

    def masks(self, pid: int) -> Masks | None:
        """Return the masks that a target shows."""
        target = self.targets.get(pid)
        bit = 1 << (self.settings.signal.number - 1)
        if target is None or target.disposition == 'unknown':
            return None
        if target.unblocks and round(self.now * 20) % target.unblocks == 0:
            return Masks(0, 0, 0, 0)
        caught = {'caught': bit, 'runtime': bit | BASH}
        return Masks(
            caught.get(target.disposition, 0),
            bit if target.disposition == 'ignored' else 0,
            bit if target.disposition == 'blocked' else 0,
            bit if target.pending else 0,
            asleep=not target.spawns,
        )

    def health(self, process: Process, number: int) -> str:
        """Return whether a process is alive, gone, or has a signal pending."""
        target = self.targets.get(process.pid)
        if target is None or target.started != process.started:
            return 'gone'
        return 'pending' if target.pending else 'alive'

    def send(self, process: Process, number: int) -> str:
        """Send the signal, and check that it may be sent."""
        target = self.targets.get(process.pid)
        if target is None or target.started != process.started:
            return 'gone'
        if target.refuses:
            return self.refusal
        self.check_send(target)
        self.begin()
        self.sent = (*self.sent, Sent(self.now, target.pid, self.marked, self.version))
        self.targets = {
            pid: each._replace(again=each.again or each.notified != self.marked)
            for pid, each in self.targets.items()
        }
        self.alter(
            target.pid, notified=self.marked, at=self.now, again=False, pending=True,
        )
        if not target.stopped:
            self.take(target.pid)
        return 'pidfd'

    def check_send(self, target: Target) -> None:
        """Check that a target may be signalled now."""
        where = f'{self.now}: {target} for {self.marked}'
        allowed = target.notified != self.marked or target.again
        assert allowed, f'signalled twice: {where}'
        if self.settings.handler_check == 'enforce' and (
                self.settings.signal.name not in ENDING
        ):
            harmed = target.disposition in ('default', 'ignored')
            assert not harmed, f'has no handler: {where}'
        self.check_seen(where)

    def check_seen(self, where: str) -> None:
        """Check that the last poll saw the version that is delivered now."""
        late = self.ledger is not None and self.ledger.attempt.late
        assert late or self.saw(self.marked), f'not seen by the last poll: {where}'

    def saw(self, version: str) -> bool:
        """Return whether the last poll saw a version.

        A member that it could not read is as it was delivered last.
        """
        unread = self.seen == 'unreadable' and self.layout == 'directory'
        return version == self.seen or (unread and version == self.had)

    def family(self, pid: int) -> tuple[Member, ...]:
        """Return a target and its workers."""
        return tuple(
            (each.pid, each.started, 'app') for each in self.targets.values()
            if pid in (each.pid, each.ppid)
        )

    def run_command(self, command: Sequence[str], additions: Mapping[str, str]) -> str:
        """Start --validate, --verify or an action."""
        assert self.command is None, 'two commands at once'
        self.answer = ''
        name = command[0]
        verifies = command == self.settings.verify
        pid = int(additions.get('POLLRELOAD_PID', '0')) if verifies else 0
        if name not in self.settings.url and not verifies:
            self.check_context(additions)
        if name in self.actions():
            return self.act(name)
        self.command = name, pid, self.now + self.takes
        return ''

    def check_context(self, additions: Mapping[str, str]) -> None:
        """Check the environment of a command: its version, and what changed."""
        found = additions['POLLRELOAD_FINGERPRINT']
        late = self.ledger is not None and self.ledger.attempt.late
        assert late or self.saw(version_of(found)), f'not seen: {additions}'
        if additions['POLLRELOAD_PREVIOUS'] not in ('', found):
            assert additions['POLLRELOAD_CHANGED'], f'nothing changed: {additions}'

    def actions(self) -> list[str]:
        """Return the names of all actions, in order."""
        return [*(each[0] for each in self.settings.exec), *self.settings.url]

    def act(self, name: str) -> str:
        """Start an action, and check that it is its turn."""
        index = self.actions().index(name)
        how, self.spoilt = (*self.spoilt[:1], 'good')[0], self.spoilt[1:]
        self.check_act(index)
        version, count = self.acting
        if index == 0 or version != self.marked:
            count = 0
        self.acting, self.from_first = (self.marked, count), False
        self.begin()
        act = Act(self.now, index, self.marked, self.version)
        if how == 'absent':
            self.acts = (*self.acts, act._replace(how=how))
            return f'{name}: no such file or directory'
        self.acts = (*self.acts, act)
        takes = math.inf if how == 'hang' else self.takes
        # pollreload learns how it ends only when it has ended.
        self.command = f'{how} {name}', 0, self.now + takes
        return ''

    def begin(self) -> None:
        """Note how often the files had changed when this version was first notified."""
        if self.delivering[0] != self.marked:
            self.delivering = self.marked, self.turns

    def check_act(self, index: int) -> None:
        """Check that an action may start now."""
        version, count = self.acting
        where = f'{self.now}: action {index} of {self.marked} after {self.acting}'
        assert self.ledger is not None, f'without a mark: {where}'
        assert not self.ledger.version.delivered, f'without a mark: {where}'
        assert self.ledger.version.state == 'due', f'not settled: {where}'
        self.check_seen(where)
        turns = {count} if version == self.marked else set()
        if version != self.marked or self.from_first:
            turns.add(0)
        assert index in turns, f'out of turn: {where}'
        if sends_signal(self.settings):
            self.check_notified(where)

    def check_notified(self, where: str) -> None:
        """Check that every target has the version that the action is for."""
        for process in self.choice().targets:
            target = self.targets[process.pid]
            if not target.blind and self.marked != 'unreadable':
                had = self.marked in (target.notified, target.has)
                assert had, f'before {target} was notified: {where}'

    def acted(self, how: str) -> None:
        """Record how the action that was started last ended."""
        self.acts = (*self.acts[:-1], self.acts[-1]._replace(how=how))
        version, count = self.acting
        self.acting = version, count + (how == 'good')

    def ran(self) -> int | None:
        """Return the exit status of the command, or None while it runs."""
        assert self.command is not None, 'no command runs'
        name, pid, end = self.command
        if self.now < end:
            return None
        self.command = None
        if ' ' in name:
            how = name.partition(' ')[0]
            self.acted(how)
            if self.acts[-1].number < len(self.settings.exec):
                return {'good': 0, 'die': -9}.get(how, 1)
            self.answer = 'answered 200' if how == 'good' else 'answered 500'
            return int(how != 'good')
        target = self.targets.get(pid)
        if name == 'validate':
            return 1 if self.now < self.invalid_until else 0
        if self.now < self.unverified_until or (
                sends_signal(self.settings) and (target is None or target.deaf)
        ):
            return 1
        self.verified = {**self.verified, pid: self.now}
        return 0

    def cancel(self) -> None:
        """End the command."""
        if self.command is not None and ' ' in self.command[0]:
            self.acted(self.command[0].partition(' ')[0])
        self.command = None

    def output(self) -> str:
        """Return the outcome of a request; commands print nothing here."""
        return self.answer

    def save(self, state: State) -> bool:
        """Write the ledger."""
        self.ledger = state
        self.marked = version_of(state.attempt.fingerprint)
        return True

    def say(self, event: str, message: str, /, **fields: object) -> None:
        """Record an event, and check that it is true."""
        if event == 'polled':
            return  # for -vv alone
        self.events = (*self.events, Event(self.now, event, message, fields))
        pid, reason = fields.get('target_pid'), fields.get('reason')
        target = self.targets.get(pid) if isinstance(pid, int) else None
        true = True
        if event in ('delivered', 'failed', 'verified') and pid is None:
            true = self.is_acted(event, fields)
            if event == 'failed' and {*fields}.isdisjoint(('exec', 'url')):
                # --verify failed, or the files were different for a moment.
                self.forget()
        elif event == 'delivered' and self.settings.survive:
            successor = self.targets.get(int(str(fields.get('successor', 0))))
            true = self.is_delivered(target) if successor is None else (
                target is None and successor.started >= int(self.dead[int(str(pid))])
            )
        elif event == 'verified':
            true = pid in self.dead if target is None else self.is_verified(target)
        elif event == 'baseline' and reason == 'needless':
            if target is not None and self.opaque and target.inherits and (
                    target.disposition in ('default', 'ignored')
            ):
                # A limit: one that has had no handler for 10 s is taken for a restart.
                assert self.now * TICKS >= target.started + READ_IT * TICKS
                target = target._replace(blind=True)
                self.targets[target.pid] = target
            true = target is not None and (
                target.first == self.seen or target.blind or self.seen == 'unreadable'
            )
        elif event == 'failed':
            true = isinstance(pid, int) and self.has_failed(pid, reason)
            if target is not None:
                self.alter(target.pid, again=True)
        elif event == 'changed' and reason is None:
            if version_of(str(fields['fingerprint'])) != self.delivering[0]:
                # A version that was delivered before is delivered again if it returns.
                self.forget()
        elif event == 'changed' and reason == 'restarted':
            # In doubt, pollreload signals once more than necessary.
            self.forget()
        elif event == 'held':
            true = self.is_held(reason)
        assert true, f'not true at {self.now}: {event}: {message}; {target}'

    def forget(self) -> None:
        """Allow every target to be signalled again for the version that it has."""
        self.targets = {
            pid: each._replace(again=True) for pid, each in self.targets.items()
        }
        self.from_first, self.delivering = True, ('', 0)

    def is_acted(self, event: str, fields: Mapping[str, object]) -> bool:
        """Return whether an event about an action, or about all of them, is true."""
        if fields.get('reason') == 'changed meanwhile':
            return self.delivering[1] != self.turns
        act, name = self.acts[-1], fields.get('exec', fields.get('url'))
        shown = [
            *(each[0] for each in self.settings.exec), *map(bare, self.settings.url),
        ]
        if name is None:
            return act.how == 'good' and (
                event == 'failed' or self.verified.get(0, 0.0) > act.at
            )
        good = act.how == 'good'
        return name == shown[act.number] and good == (event == 'delivered')

    def is_delivered(self, target: Target | None) -> bool:
        """Return whether a target took the signal, and ended if it should."""
        if self.settings.signal.name in ENDING:
            return target is None
        return target is not None and not target.pending and target.at > 0

    def is_verified(self, target: Target) -> bool:
        """Return whether the requested verification succeeded after the signal."""
        if self.settings.verify and self.verified.get(target.pid, 0.0) < target.at:
            return False
        since = int(target.at * TICKS)
        return not self.settings.verify_workers or any(
            each.ppid == target.pid and each.started >= since
            for each in self.targets.values()
        )

    def has_failed(self, pid: int, reason: object) -> bool:
        """Return whether a target failed for the reason that was logged."""
        target = self.targets.get(pid)
        if reason == 'died':
            return target is None
        if reason == 'pending':
            return target is not None and target.pending
        if reason == 'not permitted':
            return target is not None and target.refuses
        return True

    def is_held(self, reason: object) -> bool:
        """Return whether the reason that was logged for a hold is true."""
        if reason == 'still changing':
            last = self.settings.settle + self.settings.interval
            often = len(self.changes) > 1 and self.now - self.changes[-1] <= last
            return often and (self.readable or self.layout == 'directory')
        if reason == 'feedback loop':
            return len(self.changes) > 2
        if reason == 'never validated':
            return len(self.changes) > 2
        if reason == 'became empty':
            return self.seen == 'empty' or self.lost or self.missing
        if reason == 'no target':
            return all(each.renamed for each in self.targets.values())
        if reason == 'no handler':
            return any(
                it.disposition in ('default', 'ignored') or it.unblocks or it.spawns
                for it in self.targets.values()
            )
        if reason == 'pending':
            return any(it.pending for it in self.targets.values())
        return True

    # What must be true in the end.

    def idle(self) -> bool:
        """Return whether the version is delivered and nothing is under way."""
        version = self.state.version
        return version.state == 'current' and not self.state.stage and not self.hung

    def converge(self) -> None:
        """Remove every obstacle, and check that the current version is delivered."""
        self.put(self.version)
        self.invalid_until = self.unverified_until = self.hangs_until = 0.0
        self.spoilt = ()
        self.make_ready()
        if self.root() is None and sends_signal(self.settings):
            self.start()
        for pid in self.rivals():
            self.end(pid)
        self.wait_until_idle()
        if self.state.hold.startswith('breaker'):
            self.send_hup()
            self.wait_until_idle()
        if self.state.hold.startswith('limit'):
            self.put('last')
            self.wait_until_idle()
        if self.state.hold.startswith('no target'):
            self.start()
            self.wait_until_idle()
        assert self.idle(), f'not delivered in the end: {self.state}'
        assert self.seen == self.version
        if not sends_signal(self.settings):
            self.check_acted(self.version)
            return
        for process in self.choice().targets:
            target = self.targets[process.pid]
            if self.settings.select == 'newest' and (
                    target.ppid in self.targets or self.settings.signal.name in ENDING
            ):
                continue  # another was the newest when this version was delivered
            if not self.settings.survive and target.notified == self.version:
                continue  # with --survive 0 that is all that was asked for
            assert target.has == self.version or target.blind, f'outdated: {target}'

    def wait_until_idle(self, seconds: float = 300.0) -> None:
        """Let time pass until all is done and a poll has read the current version."""
        began = self.now
        while self.now < began + seconds and not (
                self.idle() and self.state.version.read_at > began
        ):
            self.run(self.settings.interval)
