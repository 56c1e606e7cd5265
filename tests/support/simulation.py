"""A small world for the pure core: a clock, a version, targets, commands, a ledger.

What is done besides a signal (--exec and --url) goes well unless spoil() says how
the next ones go.

Nothing here waits and nothing is random. A Simulation steps tick.step at the
times that tick.wake asks for and checks, at each signal and at each event, that
what is done and said is true of the world as it is.
"""
from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pollreload.core import ledger_format, observation
from pollreload.core import step as step_module
from pollreload.core.attempt import Member
from pollreload.core.process import (
    ENDING,
    Choice,
    Masks,
    Process,
    choose,
    disposition,
)
from pollreload.core.reading import EMPTY, Reading, Snapshot
from pollreload.core.stage import word
from pollreload.core.state import State, World, known
from pollreload.settings import Settings, acts, bare, signals

TICKS = 100
COMMAND = 0.25  # s that a command takes
HERE = ledger_format.Here('watch', 'boot', 'pid:[1]')
MOST_STEPS = 12  # at one and the same time


class Target(NamedTuple):
    """A process of the world, and what is true of it.

    first, has: the content that it read when it started, and that it has now.
    dies, refuses, stopped: how it takes the signal; deaf: it takes it, and no
        reload comes of it (no new worker, --verify disagrees).
    told: the version that it was last signalled for, at when.
    again: it may be notified of that once more: an attempt failed since, another
        version was delivered, or pollreload lost its memory.
    blind: it read a version that came and went between two polls.
    stay: which stay of a version it read.
    hands_over: it takes the signal by starting a successor and exiting.
    renamed: it has another comm now.
    generation: it is no worker of its parent, but a generation of its own.
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
    told: str = ''
    at: float = 0.0
    again: bool = False
    blind: bool = False
    stay: int = 0
    hands_over: bool = False
    renamed: bool = False
    generation: bool = False


class Sent(NamedTuple):
    """One signal: when, to whom, for which content, and what was there then."""

    at: float
    pid: int
    told: str
    there: str


class Act(NamedTuple):
    """One action: when it began, which, for which content, and how it went.

    how: 'under way', 'good', 'fail', 'hang' (and was ended), 'die', or 'absent':
        it could not be begun.
    """

    at: float
    number: int
    told: str
    there: str
    how: str = 'under way'


class Event(NamedTuple):
    """One event as it was said."""

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


def content_of(found: str) -> str:
    """Return the label of the version behind a fingerprint, by its first path."""
    name, _, rest = found.partition(';')[0].partition('=')
    return rest.partition(',')[0] if name in ('', 'f') else 'gone'


class Simulation:
    """The world of one watch of one path, and the state of pollreload in it.

    layout: 'file', or 'directory' for a file 'f' beside a neighbour 'n'.
    """

    def __init__(
            self, settings: Settings, layout: str = 'file', content: str = 'A',
            targets: int = 1,
    ) -> None:
        self.settings = settings
        self.layout = layout
        self.now = 1000.0
        self.content = content
        self.readable = True
        self.restless = False
        self.missing = False  # nothing is at the path
        self.lost = False  # the directory has nothing in it
        self.beside = ''  # a second path: '', 'there' or 'away'
        self.refusal = 'refused'  # how the kernel refuses a signal, signals.send()
        self.dated = 900.0  # when the content came, on the one clock there is
        self.changes: tuple[float, ...] = ()
        self.stay = 0
        self.turns = 0  # how often something else was there, or a part of it was not
        self.telling = '', 0  # the version delivered last, and the turns by then
        self.looked = False  # whether any look saw this stay of the content
        self.seen = ''  # what the last poll saw
        self.hangs_until = 0.0
        self.hung = False
        self.targets: dict[int, Target] = {}
        self.dead: dict[int, float] = {}
        self.last_pid = 100
        self.invalid_until = 0.0
        self.unverified_until = 0.0
        self.command: tuple[str, int, float] | None = None  # name, pid, its end
        self.takes = COMMAND
        self.verified: Mapping[int, float] = {}
        self.acts: tuple[Act, ...] = ()
        self.spoilt: tuple[str, ...] = ()  # how the next actions go
        # Which content the actions were last begun for, and how many have succeeded.
        self.acting = '', 0
        self.args = ''  # what the last request came to
        self.anew = True  # they may begin with the first again
        self.marked = ''  # the content whose mark was saved last
        self.ledger: State | None = None
        self.state = State()
        self.sent: tuple[Sent, ...] = ()
        self.events: tuple[Event, ...] = ()
        for _ in range(targets):
            self.start()
            self.alter_root(started=95_000)
        self.world = self.surroundings()

    def copy(self) -> Simulation:
        """Return another world that goes on from here."""
        other = copy.copy(self)
        other.targets = dict(self.targets)
        other.dead = dict(self.dead)
        other.world = other.surroundings()
        return other

    def stage(self) -> str:
        """Return the name of what is under way, or ''."""
        return word(self.state.stage) if self.state.stage else ''

    def equals(self, other: Simulation) -> bool:
        """Return whether another world is the same in all there is."""
        ours, theirs = {**vars(self)}, {**vars(other)}
        del ours['world'], theirs['world']
        # Two stages with equal fields are equal tuples.
        return ours == theirs and type(self.state.stage) is type(other.state.stage)

    # What happens in the world.

    def put(self, content: str, restless: bool = False) -> None:
        """Replace the content;
        restless: it goes on changing with every poll.
        """
        if content == 'gone' and self.layout == 'file':
            # A path that goes away is no change (rule 5): only unreadable.
            self.hide()
            return
        if content != self.content or self.restless:
            if not self.looked:
                self.targets = {
                    pid: each._replace(blind=each.blind or each.stay == self.stay)
                    for pid, each in self.targets.items()
                }
            self.stay += 1
            self.turns += 1
            self.looked = False
            self.dated = self.now
            self.changes = (*self.changes[-3:], self.now)
        self.turns += self.layout == 'directory' and not self.readable
        self.content, self.restless, self.readable = content, restless, True
        self.missing = self.lost = False

    def hide(self) -> None:
        """Make the content unreadable for us, not for the targets."""
        if self.layout == 'directory' and self.readable:
            self.changes = (*self.changes[-3:], self.now)
            self.turns += 1
        self.readable = False

    def hang(self, seconds: float) -> None:
        """Let the next poll hang."""
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
        """Start a target, which reads the content."""
        self.last_pid += 1
        self.targets[self.last_pid] = Target(
            self.last_pid, ppid, int(self.now * TICKS), self.content, self.content,
            stay=self.stay,
        )
        return self.last_pid

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

    def upgrade(self) -> None:
        """Let the root start another generation, which reads the content itself."""
        root = self.root()
        if root is not None:
            self.fork_of(root.pid)  # it has workers of its own
            self.alter(self.start(root.pid), generation=True)

    def rename(self) -> None:
        """Let the root change its comm, once it has been notified."""
        root = self.root()
        if root is not None and (root.pid, root.started) in {
                each.name for each in known(self.state)
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
                    self.alter(each.pid, ppid=1)

    def fork(self) -> None:
        """Let the root fork a worker, which has what the root has."""
        root = self.root()
        if root is not None:
            pid = self.start(root.pid)
            self.alter(pid, has=root.has, first=root.has, stay=root.stay,
                        blind=root.blind)

    def alter(self, pid: int, **changes: object) -> None:
        """Change what is true of a target."""
        self.targets[pid] = self.targets[pid]._replace(**changes)  # type: ignore[arg-type]

    def alter_root(self, **changes: object) -> None:
        """Change how the root behaves."""
        root = self.root()
        if root is not None:
            self.alter(root.pid, **changes)

    def make_ready(self) -> None:
        """Let every target take the signal as it should; what is pending now."""
        for pid in list(self.targets):
            self.alter(
                pid, disposition='caught', dies=False, refuses=False, stopped=False,
                deaf=False, hands_over=False,
            )
        for pid in [each.pid for each in self.targets.values() if each.pending]:
            if pid in self.targets:  # it may have ended with another
                self.take(pid)

    def go_on(self) -> None:
        """Let the root go on, if it was stopped: it takes what is pending."""
        root = self.root()
        if root is not None:
            self.alter(root.pid, stopped=False)
            if root.pending:
                self.take(root.pid)

    def take(self, pid: int) -> None:
        """Let a target take the signal: it reads the content, or dies of it."""
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
            self.alter(pid, has=self.content, stay=self.stay, blind=False)
            if not target.deaf:
                for each in [
                        it for it in self.targets.values()
                        if it.ppid == pid and not it.generation
                ]:
                    self.end(each.pid)
                self.fork_of(pid)

    def fork_of(self, pid: int) -> None:
        """Let a target that has reloaded start a worker, where workers count."""
        if self.settings.verify_workers:
            self.start(pid)

    def refuse_for(self, validate: float = 0.0, verify: float = 0.0) -> None:
        """Let --validate or --verify disagree for some seconds."""
        self.invalid_until = max(self.invalid_until, self.now + validate)
        self.unverified_until = max(self.unverified_until, self.now + verify)

    def spoil(self, *how: str) -> None:
        """Let the next actions go badly: 'fail', 'hang', 'die' or 'absent', in turn."""
        self.spoilt = how

    def ask(self) -> None:
        """Send HUP to pollreload."""
        self.state = step_module.poll_now(self.state, self.now)

    def crash(self, keep: bool) -> None:
        """End pollreload and start it again, with or without its ledger."""
        attempt = self.ledger.attempt if self.ledger is not None else None
        midway = bool(self.state.stage) or (attempt is not None and any(
            told.phase not in ('failed', 'up to date') for told in attempt.targets
        ))
        if midway or not keep:
            self.targets = {
                pid: each._replace(again=True) for pid, each in self.targets.items()
            }
        self.command, self.hung = None, False
        revived = None
        if keep and self.ledger is not None:
            written = json.dumps(ledger_format.dump(self.ledger, HERE))
            revived = ledger_format.revive(json.loads(written), HERE, fingerprint)
        self.anew = self.anew or revived is None
        self.state = State() if revived is None else revived
        self.ledger = self.ledger if keep else None

    # How time passes.

    def run(self, seconds: float) -> None:
        """Let time pass, and pollreload do what it does in the meantime."""
        end = self.now + seconds
        steps, last = 0, self.now
        while True:
            at = max(self.now, self.wake())
            if at > end:
                self.now = end
                return
            self.now = at
            self.step()
            steps = steps + 1 if at == last else 1
            last = at
            assert steps < MOST_STEPS, f'busy at {at}: {self.state}'

    def wake(self) -> float:
        """Return when pollreload wakes: at a time it chose, or at a child's end."""
        times = [observation.wake(self.state)]
        if self.command is not None:
            times.append(self.command[2])
        if self.hung:
            times.append(self.hangs_until)
        return min(times)

    def step(self) -> None:
        """Step once, and check that the memory advances only to what was done."""
        before = self.state
        said = len(self.events)
        self.state = step_module.step(self.settings, before, self.world)
        done = self.state.version.delivered
        if done and done != before.version.delivered and not any(
                event.event == 'baseline' and 'reason' not in event.fields
                for event in self.events[said:]
        ):
            signalled = any(it.event == 'signalled' for it in self.events[said:])
            self.check_done(content_of(done), bool(before.stage) or signalled)

    def check_done(self, content: str, signalled: bool) -> None:
        """Check that whoever should be notified of a version was, or started with it.
        """
        self.check_acted(content)
        if not signals(self.settings):
            return
        names = self.state.round if signalled else tuple(
            (each.pid, each.started) for each in self.choice().targets
        )
        for pid, started in names:
            target = self.targets.get(pid)
            if target is None or target.started != started or target.blind:
                continue
            if content == 'unreadable':
                continue  # for us; what the target reads is something else
            had = content in (target.told, target.has)
            assert had, f'{content} is not done: {target}'

    def check_acted(self, content: str) -> None:
        """Check that all that is to be done for a version was, and verified."""
        told, count = self.acting
        if not acts(self.settings):
            return
        all_of_it = len(self.settings.exec) + len(self.settings.url)
        assert (told, count) == (content, all_of_it), f'{content} is not done: {told}'
        if self.settings.verify and not signals(self.settings):
            since = self.verified.get(0, 0.0)
            assert since > self.acts[-1].at, f'{content} is not verified'

    # What pollreload sees of the world, as state.World has it.

    def surroundings(self) -> World:
        """Return the world as pollreload sees it."""
        return World(
            now=lambda: self.now, jitter=lambda: 0.5, read=self.look,
            digest=fingerprint, targets=self.choice, absent=lambda: 'no app',
            born=lambda it: it.started / TICKS,
            masks=self.masks, health=self.health, send=self.send,
            gone=lambda it: self.health(it, 1) == 'gone', below=lambda it: None,
            program=lambda it: '',
            family=self.family, run=self.run_command,
            ask=lambda url: self.run_command((url,), {}), ran=self.ran,
            cancel=self.cancel, said=self.said, save=self.save, say=self.say,
            ticks=TICKS, splay=self.settings.splay, us='uid 1',
            entitle=lambda: 'run as the same uid, or as root with CAP_KILL',
        )

    def look(self, dates: bool) -> Snapshot | None:
        """Look at the one path."""
        self.hung = self.now < self.hangs_until
        if self.hung:
            return None
        if self.restless and self.now > self.dated:
            self.put(f'torn{self.stay}', restless=True)
        if self.missing:
            counts = self.settings.on_missing == 'notify'
            self.seen = 'gone' if counts else 'missing'
            return Snapshot((Reading('', {}, {'': 'no such file'}),))
        if self.lost:
            self.seen = 'gone'
            return Snapshot((Reading('directory', {}, {}),))
        if not self.readable:
            self.seen = 'unreadable'
            return Snapshot((self.unreadable(),))
        self.looked, self.seen = True, self.content
        second = {
            '': (), 'there': (Reading('file', {'': blob('N')}, {}),),
            'away': (Reading('', {}, {'': 'no such file'}),),
        }[self.beside]
        files = {} if self.content == 'gone' else {'f': blob(self.content)}
        if self.layout == 'directory':
            sight = Reading('directory', {**files, 'n': blob('N')}, {})
        else:
            sight = Reading('file', {'': blob(self.content)}, {})
        return Snapshot((sight, *second), self.dated)

    def unreadable(self) -> Reading:
        """Return the sight of a version that cannot be read."""
        if self.layout == 'directory':
            return Reading(
                'directory', {'n': blob('N')}, {'f': 'permission denied'},
            )
        return Reading('', {}, {'': 'permission denied'})

    def choice(self) -> Choice:
        """Return the targets, as runtime.targets finds them."""
        before = {
            each.name: each.since for each in known(self.state)
            if each.phase == 'up to date' or each.sends
        }
        return choose([
            Process(each.pid, each.ppid, each.started, 'app', ('app',), 0)
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

    def masks(self, pid: int) -> Masks | None:
        """Return the masks that a target shows."""
        target = self.targets.get(pid)
        bit = 1 << (self.settings.signal.number - 1)
        if target is None or target.disposition == 'unknown':
            return None
        return Masks(
            bit if target.disposition == 'caught' else 0,
            bit if target.disposition == 'ignored' else 0,
            bit if target.disposition == 'blocked' else 0,
            bit if target.pending else 0,
        )

    def health(self, process: Process, number: int) -> str:
        """Return how a process is."""
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
        self.sent = (*self.sent, Sent(self.now, target.pid, self.marked, self.content))
        self.targets = {
            pid: each._replace(again=each.again or each.told != self.marked)
            for pid, each in self.targets.items()
        }
        self.alter(
            target.pid, told=self.marked, at=self.now, again=False, pending=True,
        )
        if not target.stopped:
            self.take(target.pid)
        return 'pidfd'

    def check_send(self, target: Target) -> None:
        """Check that a target may be signalled now."""
        where = f'{self.now}: {target} of {self.marked}'
        assert target.told != self.marked or target.again, f'told twice: {where}'
        if self.settings.handler_check == 'enforce' and (
                self.settings.signal.name not in ENDING
        ):
            harmed = target.disposition in ('default', 'ignored')
            assert not harmed, f'has no handler: {where}'
        self.check_seen(where)

    def check_seen(self, where: str) -> None:
        """Check that the last poll saw what is delivered now, or a newer version."""
        late = self.ledger is not None and self.ledger.attempt.late
        assert late or self.marked == self.seen, f'not seen by the last poll: {where}'

    def family(self, pid: int) -> tuple[Member, ...]:
        """Return a target and its workers."""
        return tuple(
            (each.pid, each.started, 'app') for each in self.targets.values()
            if pid in (each.pid, each.ppid)
        )

    def run_command(self, command: Sequence[str], additions: Mapping[str, str]) -> str:
        """Start --validate, --verify or an action."""
        assert self.command is None, 'two commands at once'
        self.args = ''
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
        assert late or content_of(found) == self.seen, f'not seen: {additions}'
        if additions['POLLRELOAD_PREVIOUS'] not in ('', found):
            assert additions['POLLRELOAD_CHANGED'], f'nothing changed: {additions}'

    def actions(self) -> list[str]:
        """Return the names of all actions, in order."""
        return [*(each[0] for each in self.settings.exec), *self.settings.url]

    def act(self, name: str) -> str:
        """Begin an action, and check that it is its turn."""
        index = self.actions().index(name)
        how, self.spoilt = (*self.spoilt[:1], 'good')[0], self.spoilt[1:]
        self.check_act(index)
        told, count = self.acting
        if index == 0 or told != self.marked:
            count = 0
        self.acting, self.anew = (self.marked, count), False
        self.begin()
        act = Act(self.now, index, self.marked, self.content)
        if how == 'absent':
            self.acts = (*self.acts, act._replace(how=how))
            return f'{name}: no such file or directory'
        self.acts = (*self.acts, act)
        takes = math.inf if how == 'hang' else self.takes
        # How it will go is known to the world alone, until then.
        self.command = f'{how} {name}', 0, self.now + takes
        return ''

    def begin(self) -> None:
        """Note what there was when a version was delivered first."""
        if self.telling[0] != self.marked:
            self.telling = self.marked, self.turns

    def check_act(self, index: int) -> None:
        """Check that an action may be begun now."""
        told, count = self.acting
        where = f'{self.now}: action {index} of {self.marked} after {self.acting}'
        assert self.ledger is not None, f'without a mark: {where}'
        assert not self.ledger.version.delivered, f'without a mark: {where}'
        assert self.ledger.version.state == 'due', f'not settled: {where}'
        self.check_seen(where)
        turns = {count} if told == self.marked else set()
        if told != self.marked or self.anew:
            turns.add(0)
        assert index in turns, f'out of turn: {where}'
        if signals(self.settings):
            self.check_told(where)

    def check_told(self, where: str) -> None:
        """Check that every target has the content that is acted upon."""
        for process in self.choice().targets:
            target = self.targets[process.pid]
            if not target.blind and self.marked != 'unreadable':
                had = self.marked in (target.told, target.has)
                assert had, f'before {target} was told: {where}'

    def acted(self, how: str) -> None:
        """Note how the action that was begun last went."""
        self.acts = (*self.acts[:-1], self.acts[-1]._replace(how=how))
        told, count = self.acting
        self.acting = told, count + (how == 'good')

    def ran(self) -> int | None:
        """Return the exit status of the command, None while it runs."""
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
            self.args = 'answered 200' if how == 'good' else 'answered 500'
            return int(how != 'good')
        target = self.targets.get(pid)
        if name == 'validate':
            return 1 if self.now < self.invalid_until else 0
        if self.now < self.unverified_until or (
                signals(self.settings) and (target is None or target.deaf)
        ):
            return 1
        self.verified = {**self.verified, pid: self.now}
        return 0

    def cancel(self) -> None:
        """End the command."""
        if self.command is not None and ' ' in self.command[0]:
            self.acted(self.command[0].partition(' ')[0])
        self.command = None

    def said(self) -> str:
        """Return the outcome of a request; commands print nothing."""
        return self.args

    def save(self, state: State) -> bool:
        """Write the ledger."""
        self.ledger = state
        self.marked = content_of(state.attempt.fingerprint)
        return True

    def say(self, event: str, message: str, /, **fields: object) -> None:
        """Note an event, and check that it is true."""
        if event == 'polled':
            return  # for -vv alone
        self.events = (*self.events, Event(self.now, event, message, fields))
        pid, reason = fields.get('target_pid'), fields.get('reason')
        target = self.targets.get(pid) if isinstance(pid, int) else None
        true = True
        if event in ('delivered', 'failed', 'verified') and pid is None:
            true = self.is_acted(event, fields)
            if event == 'failed' and {*fields}.isdisjoint(('exec', 'url')):
                # --verify disagreed, or something else was there for a moment.
                self.forget()
        elif event == 'delivered' and self.settings.survive:
            successor = self.targets.get(int(str(fields.get('successor', 0))))
            true = self.is_delivered(target) if successor is None else (
                target is None and successor.started >= int(self.dead[int(str(pid))])
            )
        elif event == 'verified':
            true = pid in self.dead if target is None else self.is_verified(target)
        elif event == 'baseline' and reason == 'needless':
            true = target is not None and (
                target.first == self.seen or target.blind or self.seen == 'unreadable'
            )
        elif event == 'failed':
            true = isinstance(pid, int) and self.has_failed(pid, reason)
            if target is not None:
                self.alter(target.pid, again=True)
        elif event == 'changed' and reason is None:
            if content_of(str(fields['fingerprint'])) != self.telling[0]:
                # What was delivered before is delivered again if it comes back.
                self.forget()
        elif event == 'changed' and reason == 'restarted':
            # In doubt, one reload too many.
            self.forget()
        elif event == 'held':
            true = self.is_held(reason)
        assert true, f'not true at {self.now}: {event}: {message}; {target}'

    def forget(self) -> None:
        """Have every target notified again."""
        self.targets = {
            pid: each._replace(again=True) for pid, each in self.targets.items()
        }
        self.anew, self.telling = True, ('', 0)

    def is_acted(self, event: str, fields: Mapping[str, object]) -> bool:
        """Return whether an event of an action, or of all there is, is true."""
        if fields.get('reason') == 'changed meanwhile':
            return self.telling[1] != self.turns
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
        """Return whether a target took the signal, and did what it should."""
        if self.settings.signal.name in ENDING:
            return target is None
        return target is not None and not target.pending and target.at > 0

    def is_verified(self, target: Target) -> bool:
        """Return whether what was asked for to verify was seen after the signal."""
        if self.settings.verify and self.verified.get(target.pid, 0.0) < target.at:
            return False
        since = int(target.at * TICKS)
        return not self.settings.verify_workers or any(
            each.ppid == target.pid and each.started >= since
            for each in self.targets.values()
        )

    def has_failed(self, pid: int, reason: object) -> bool:
        """Return whether a target failed for a reason."""
        target = self.targets.get(pid)
        if reason == 'died':
            return target is None
        if reason == 'pending':
            return target is not None and target.pending
        if reason == 'not permitted':
            return target is not None and target.refuses
        return True

    def is_held(self, reason: object) -> bool:
        """Return whether there is such a reason to notify no process."""
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
                it.disposition in ('default', 'ignored') for it in self.targets.values()
            )
        if reason == 'pending':
            return any(it.pending for it in self.targets.values())
        return True

    # What must come of it in the end.

    def resting(self) -> bool:
        """Return whether all is done and nothing is under way."""
        content = self.state.version
        return content.state == 'current' and not self.state.stage and not self.hung

    def settle_down(self) -> None:
        """Give the world all it takes, and check that its content is delivered then."""
        self.put(self.content)
        self.invalid_until = self.unverified_until = self.hangs_until = 0.0
        self.spoilt = ()
        self.make_ready()
        if self.root() is None and signals(self.settings):
            self.start()
        for pid in self.rivals():
            self.end(pid)
        self.rest()
        if self.state.hold.startswith('breaker'):
            self.ask()
            self.rest()
        if self.state.hold.startswith('limit'):
            self.put('last')
            self.rest()
        if self.state.hold == 'no target':
            self.start()
            self.rest()
        assert self.resting(), f'not done in the end: {self.state}'
        assert self.seen == self.content
        if not signals(self.settings):
            self.check_acted(self.content)
            return
        for process in self.choice().targets:
            target = self.targets[process.pid]
            if self.settings.select == 'newest' and (
                    target.ppid in self.targets or self.settings.signal.name in ENDING
            ):
                continue  # another was the newest when this version was delivered
            if not self.settings.survive and target.told == self.content:
                continue  # it was delivered, and no one looked
            assert target.has == self.content or target.blind, f'not told: {target}'

    def rest(self, seconds: float = 300.0) -> None:
        """Let time pass until all is done and a poll saw what is there now."""
        began = self.now
        while self.now < began + seconds and not (
                self.resting() and self.state.version.read_at > began
        ):
            self.run(self.settings.interval)
