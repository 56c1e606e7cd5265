"""The world of one watch: the edges, as the functions that a step takes."""
from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pollreload import (
    change,
    children,
    contents,
    delivery,
    memory,
    procfs,
    report,
    tick,
)
from pollreload.errors import LedgerError, LedgerKept
from pollreload.process import HARMLESS, Choice, Process, choose, disposition
from pollreload.settings import Settings
from pollreload.state import Say, State, World

# Events that are no cause for concern, left out by -q; and those that are told
# only to who asks with -v: a run that finds nothing due is silent.
CALM = frozenset((
    'started', 'baseline', 'polled', 'changed', 'signalled', 'delivered', 'verified',
    'readable', 'stopped',
))
SAID = 1000  # bytes of what a command prints that are worth keeping
PATIENCE = 3.0  # s for a pidfile, a ledger or a program to be reached
LONGEST = select.PIPE_BUF - 1  # bytes of a line without its end
TALK = frozenset(('started', 'baseline', 'polled', 'stopped'))


def jitter() -> float:
    """Return a random number in [0, 1); the random module would load OpenSSL."""
    return int.from_bytes(os.urandom(4), 'little') / 2**32


def splayed(splay: float) -> float:
    """Return this host's share of --splay: the same every time, in [0, splay)."""
    share = int(contents.fingerprint([{os.uname().nodename: b''}])[:8], 16)
    return splay * share / 2**32


def us() -> str:
    """Return who we are, for a message about permissions."""
    return f'uid {os.geteuid()}'


def logger(
        settings: Settings, talk: frozenset[str] = frozenset(('polled',)),
        patient: bool = False,
) -> Say:
    """Return what writes events to stderr.

    talk: the events that -v asks for. patient: wait for a reader that is slow;
    a sidecar must not, for it would neither poll nor stop meanwhile.
    """
    skipped = CALM if settings.verbosity < 0 else talk if not settings.verbosity else ()

    def say(event: str, message: str, /, **fields: object) -> None:
        if event in skipped:
            return
        now = time.time()
        line = report.line(settings.log_format, now, event, message, fields)
        if len(line) > LONGEST:
            # A character is 12 bytes of JSON at most: so this fits, and is whole.
            few = {
                name: value for name, value in fields.items() if len(ascii(value)) < 100
            }
            line = report.line(settings.log_format, now, event, message[:200], few)
        put(line[:LONGEST], patient)

    return say


def put(line: bytes, patient: bool) -> None:
    """Write a line to stderr at once, or lose it.

    POLLOUT of a pipe means that LONGEST bytes go in without waiting.
    """
    ready = select.poll()
    ready.register(2, select.POLLOUT)
    if not patient and not ready.poll(0):
        return
    try:
        os.write(2, line + b'\n')
    except OSError:
        # A closed pipe, a full disk: there is no one left to tell.
        pass


def carefully(path: str, function: Callable[[], Any]) -> Any:
    """Return what a function returns that reads or writes at a path.

    Where that may hang it runs in a child, for PATIENCE seconds at most.
    Raises OSError, also TimeoutError.
    """
    if not contents.can_hang((path,)):
        return function()
    return children.within(function, PATIENCE, stopping)


def stopping() -> bool:
    """Return whether TERM or INT waits for us; they are blocked while we work."""
    return not signal.sigpending().isdisjoint((signal.SIGTERM, signal.SIGINT))


class Eyes:
    """The look of one watch: here, or in a child where a read may hang for ever.

    A child costs a fork at each look, about a millisecond; a thread would cost
    less and would keep the whole process from ending, even by KILL, while a
    FUSE daemon does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.pid = 0
        self.fd = -1

    def look(self, dates: bool) -> change.Snapshot | None:
        """Return a snapshot; None: it goes on, or a stop was asked for."""
        settings = self.settings
        if not self.pid:
            if not contents.can_hang(settings.paths):
                try:
                    return contents.look(
                        settings.paths, settings.ignore, dates, stopping,
                    )
                except MemoryError:
                    return unseen(settings.paths, 'not enough memory to read it')
            try:
                self.pid, self.fd = children.fork(lambda: plain(
                    contents.look(settings.paths, settings.ignore, dates),
                ))
            except OSError as error:
                # No process or no memory to spare: another poll may have it.
                return unseen(settings.paths, f'no child to read it: {error.strerror}')
            return None
        status = children.ended(self.pid)
        if status is None:
            return None
        self.pid = 0
        if status:
            os.close(self.fd)
            return unseen(settings.paths, f'the look ended with status {status}')
        return revived(children.value(self.fd))

    def close(self) -> None:
        """End a look that is under way."""
        if self.pid:
            children.end(self.pid)
            os.close(self.fd)
            self.pid = 0


def plain(snapshot: change.Snapshot | None) -> object:
    """Return a snapshot as marshal can write it."""
    assert snapshot is not None  # only a stop() that is asked can end a look early
    return [
        (sight.kind, dict(sight.files), dict(sight.unreadable))
        for sight in snapshot.sights
    ], snapshot.newest


def revived(value: Any) -> change.Snapshot:
    """Return the snapshot that plain() took apart."""
    sights, newest = value
    return change.Snapshot(tuple(change.Sight(*sight) for sight in sights), newest)


def unseen(paths: Sequence[str], reason: str) -> change.Snapshot:
    """Return a snapshot in which no path could be read."""
    return change.Snapshot(tuple(change.Sight('', {}, {'': reason}) for _ in paths))


class Hands:
    """The command of one watch that is under way, and the end of what it prints."""

    def __init__(self) -> None:
        self.pid = 0
        self.fd = -1
        self.tail = b''

    def run(self, command: Sequence[str], additions: Mapping[str, str]) -> str:
        """Start a command; return '' or why it cannot be."""
        self.tail = b''
        try:
            self.fd, theirs = children.pipe()
            try:
                environment = {**os.environ, **additions}
                # To spawn is to wait until the child has read its program.
                if '/' in command[0] and contents.can_hang((command[0],)):
                    carefully(command[0], lambda: reach(command[0]))
                self.pid = children.spawn(command, environment, theirs)
            finally:
                os.close(theirs)
        except OSError as error:
            self.cancel()
            return f'{command[0]}: {(error.strerror or str(error)).lower()}'
        return ''

    def ran(self) -> int | None:
        """Return the exit status of the command, None while it runs.

        To be asked every now and then, for it also empties the pipe.
        """
        status = children.ended(self.pid)
        self.tail = children.drained(self.fd, self.tail, SAID)
        if status is not None:
            # What it left running in its group ends with it.
            self.cancel()
        return status

    def said(self) -> str:
        """Return the end of what the last command printed."""
        return self.tail.decode('utf-8', 'backslashreplace').strip()

    def cancel(self) -> None:
        """End the command and all of its group."""
        if self.pid:
            children.end(self.pid)
            self.pid = 0
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def reach(path: str) -> None:
    """Read a byte of a program, if it may be read: it answers."""
    with contextlib.suppress(OSError), open(path, 'rb') as file:
        file.read(1)


def targets(settings: Settings) -> Choice:
    """Return whom to tell, or why nobody can be told."""
    trouble = procfs.trouble()
    if trouble:
        return Choice((), 'proc', trouble)
    if settings.pidfile is None:
        found = procfs.matches(
            settings.process, settings.cmdline, settings.uid, settings.all_namespaces,
        )
    else:
        from pollreload import pidfile
        name = settings.pidfile
        try:
            said = pidfile.Pidfile(*carefully(name, lambda: tuple(pidfile.read(name))))
        except OSError as error:
            said = pidfile.Pidfile(trouble=str(error.strerror))
        found = procfs.matches(
            settings.process, settings.cmdline, settings.uid, settings.all_namespaces,
            only=said.pid,
        )
        if said.missing:
            return Choice((), 'no target', f'there is no {settings.pidfile}')
        doubt = said.trouble or doubted(said.owner, said.written, found)
        if doubt:
            return Choice((), 'pidfile', f'{settings.pidfile} {doubt}')
    # The shell that runs us may go by the name; it yields to any other that does.
    others = tuple(each for each in found if not (
        each.ancestor and disposed(settings, each) in ('default', 'ignored')
    ))
    return choose(others or found, settings.select)


def doubted(owner: int, written: float, found: Sequence[Process]) -> str:
    """Return why a pidfile cannot be believed about the process it names, or ''.

    owner: its uid; written: its mtime, in seconds of CLOCK_REALTIME.
    """
    for process in found:
        if owner not in (0, os.geteuid(), process.uid):
            return (
                f'belongs to uid {owner}, and {process} to uid {process.uid}; a '
                f'pidfile must belong to root, to us or to its process'
            )
        # 1 s: coarse time stamps, and start times cut to clock ticks.
        if written < born(process) - 1.0:
            return (
                f'is older than {process}, so it was written about another one; '
                f'remove it, or restart the program'
            )
    return ''


def absent(settings: Settings) -> str:
    """Return the words for when no process meets the conditions."""
    conditions = ' '.join(
        f'--{name} {value}' for name, value in (
            ('pidfile', settings.pidfile), ('cmdline', settings.cmdline),
            ('uid', settings.uid),
        ) if value is not None
    )
    if settings.process is None:
        return f'no process meets {conditions}'
    if conditions and procfs.candidates(settings.process):
        return f'no process called {settings.process!r} meets {conditions}'
    return procfs.absent(settings.process)


def disposed(settings: Settings, process: Process) -> str:
    """Return the disposition of a process for the signal."""
    return disposition(
        procfs.masks(process.pid), settings.signal, settings.signal_name in HARMLESS,
        process.init,
    )


def born(process: Process) -> float:
    """Return when a process started, in seconds of CLOCK_REALTIME."""
    return time.time() - procfs.now() + process.started / procfs.ticks()


def health(process: Process, number: int) -> str:
    """Return 'gone', 'pending' or 'alive'."""
    if procfs.started(process.pid) != process.started:
        return 'gone'
    masks = procfs.masks(process.pid)
    if masks is not None and masks.pending & 1 << (number - 1):
        return 'pending'
    return 'alive'


def send(process: Process, number: int) -> str:
    """Send the signal by the safest way there is; see delivery.send."""
    return delivery.send(process.pid, process.started, number, procfs.started)


def world(
        settings: Settings, eyes: Eyes, hands: Hands, say: Say,
        save: Callable[[State], bool],
) -> World:
    """Return the world of a watch."""
    return World(
        now=procfs.now,
        jitter=jitter,
        look=eyes.look,
        digest=contents.fingerprint,
        targets=lambda: targets(settings),
        absent=lambda: absent(settings),
        born=born,
        masks=procfs.masks,
        health=health,
        send=send,
        new_child=procfs.new_child,
        run=hands.run,
        ran=hands.ran,
        cancel=hands.cancel,
        said=hands.said,
        save=save,
        say=say,
        ticks=procfs.ticks(),
        splay=splayed(settings.splay),
        us=us(),
    )


def claim(path: str) -> int:
    """Return a descriptor that holds a ledger; raises what ledger.lock does."""
    from pollreload import ledger

    def read() -> None:
        with contextlib.suppress(LedgerError):
            ledger.read(path)

    try:
        carefully(path, read)
    except OSError as error:
        raise LedgerError(f'the ledger {path}: {error.strerror}') from error
    return ledger.lock(path)


def store(path: str, kept: Mapping[str, object]) -> None:
    """Replace a ledger; raises LedgerError, also where the disk does not answer."""
    from pollreload import ledger

    def write() -> str:
        try:
            ledger.save(path, kept)
        except LedgerError as error:
            return str(error)
        return ''

    try:
        trouble = carefully(path, write)
    except OSError as error:
        trouble = f'cannot write the ledger {path}: {error.strerror}'
    if trouble:
        raise LedgerError(trouble)


def recall(settings: Settings, path: str, here: memory.Here) -> State:
    """Return the state that the ledger keeps; a blank one where there is none.

    Raises LedgerKept for one that is corrupt or newer (nobody may be told on
    the strength of it), LedgerError for one that cannot be used.
    """
    from pollreload import ledger
    kept = ledger.peek(path) if settings.dry_run else ledger.load(path)
    if kept is None:
        return State()
    try:
        state = memory.revive(kept, here, contents.fingerprint)
        if state is not None and memory.latest(state) > procfs.now() + 1.0:
            raise ValueError('it speaks of the future')
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        if not settings.dry_run:
            path = ledger.aside(path)
        raise LedgerKept(f'the ledger was corrupt; it is kept as {path}') from error
    if state is None:
        raise LedgerError(
            f'the ledger {path} is of another watch (other paths, process or signal); '
            f'remove it, or name another with --state-file',
        )
    return state._replace(saved=tick.kept(state))


def whereabouts(settings: Settings) -> memory.Here:
    """Return what a ledger of this watch is good for."""
    from pollreload import ledger
    try:
        here = os.getcwd()
    except OSError:
        # Removed under us. Only a relative path would need it, and finds nothing.
        here = '/'
    return memory.Here(
        ledger.key(settings, here), procfs.boot(), procfs.pid_namespace(),
    )
