"""The world of one watch: the edges, as the functions that a step takes."""
from __future__ import annotations

import errno
import functools
import os
import select
import signal
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from operator import add
from typing import Any, cast

from pollreload import (
    change,
    children,
    contents,
    delivery,
    memory,
    mounts,
    procfs,
    report,
    stamps,
    tick,
)
from pollreload.errors import LedgerBusy, LedgerError, LedgerKept
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
INTERPRETERS = 6  # in a row: five, and a program (exec_binprm in fs/exec.c)
SHOWN = 256  # bytes of a program, BINPRM_BUF_SIZE in linux/binfmts.h
LONGEST = select.PIPE_BUF - 1  # bytes of a line without its end
SPARED = 10.0  # s until what did not answer is asked again: others wait meanwhile
# Paths that do not answer -> the child that waits for them, 0 once it has ended, and
# until when they are spared, boot seconds.
STUCK: dict[tuple[str, ...], tuple[int, float]] = {}
FAULTS = {each.__name__: each for each in (LedgerError, LedgerKept, LedgerBusy)}
CAP_KILL = 5  # include/uapi/linux/capability.h
ENDING = frozenset((
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD,
))
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


def entitle() -> str:
    """Return what would permit us to signal a process of another user."""
    # As root, for Kubernetes has no ambient set: what `add` names there does not
    # reach who is not root, in whose bounding set alone it is then.
    says = 'run as the same uid, or as root with CAP_KILL'
    if os.geteuid() and procfs.bounded(CAP_KILL):
        says += f', which is not in effect for {us()}'
    return says


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
        if settings.name:
            if settings.log_format == 'json':
                fields = {'watch': settings.name, **fields}
            else:
                message = f'{settings.name}: {message}'
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


def carefully(function: Callable[[], Any], *paths: str) -> Any:
    """Return what a function returns that reads or writes at some paths.

    Where that may hang it runs in a child, for PATIENCE seconds at most; and not
    at all for SPARED seconds after that, and while that child hangs still.
    Raises OSError, also TimeoutError.
    """
    if not mounts.can_hang(paths):
        return function()
    if paths in STUCK:
        pid, until = STUCK[paths]
        hangs = pid > 0 and children.ended(pid) is None
        if not hangs:
            # Asked only once: its pid may be that of another child by then.
            STUCK[paths] = 0, until
        if hangs or procfs.now() < until:
            raise TimeoutError(errno.ETIMEDOUT, 'does not answer')
        del STUCK[paths]
    try:
        return children.within(function, PATIENCE, stopping)
    except children.Stuck as error:
        STUCK[paths] = error.pid, procfs.now() + SPARED
        raise


def ask_anew() -> None:
    """Spare nothing any more of what did not answer, but where it still hangs."""
    STUCK.update({paths: (pid, 0.0) for paths, (pid, _) in STUCK.items()})


def stopping() -> bool:
    """Return whether TERM or INT waits for us; they are blocked while we work."""
    return not signal.sigpending().isdisjoint((signal.SIGTERM, signal.SIGINT))


class Ended(Exception):
    """A signal that asks to end arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def answering(function: Callable[[], int]) -> int:
    """Return what a function returns; where it raises Ended, end by that signal.

    ENDING and SIGCHLD are blocked meanwhile, to be waited for by ended().
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Not what nohup and the like have made us ignore.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {
        number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN
    })
    try:
        return function()
    except Ended as error:
        # As if it had never been blocked: the shell sees which signal it was.
        signal.signal(error.number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.kill(os.getpid(), error.number)
        return 128 + error.number


def ended(seconds: float) -> None:
    """Wait for the end of a child, some seconds at most. Raises Ended."""
    got = signal.sigtimedwait(ENDING, seconds)
    if got is not None and got.si_signo != signal.SIGCHLD:
        raise Ended(got.si_signo)


def own(settings: Settings) -> list[str]:
    """Return patterns for the files that we write, which are no content of ours.

    What a watch writes must not be a change to it, or it would tell for ever.
    """
    return [
        # A letter in brackets stands for itself.
        ''.join(f'[{letter}]' if letter in '*?[' else letter for letter in name) + end
        for path in (settings.state_file, settings.status_file, *settings.beside)
        if path is not None
        for name in (os.path.basename(path),)
        for end in ('', '.lock', '.*.new', '.kept-*')
    ]


class Eyes:
    """The look of one watch: here, or in a child where a read may hang for ever.

    A child costs a fork at each look, about a millisecond; a thread would cost
    less and would keep the whole process from ending, even by KILL, while a
    FUSE daemon does not answer. What a child saw is not on our shelves: there
    every look reads everything, as opening is what revalidates a cache.

    tally: how many files and bytes all looks that ended have read.
    """

    def __init__(
            self, settings: Settings, now: Callable[[], float] = procfs.now,
    ) -> None:
        self.settings = settings
        self.now = now
        self.ignore = (*settings.ignore, *own(settings))
        self.pid = 0
        self.fd = -1
        # 1.0 // 0.1 is 9.0.
        self.rounds = max(1, int(settings.rehash / settings.interval))
        self.turn = 0  # the first that no look has had
        self.born = now()
        self.table: mounts.Table | None = None
        self.hangs = True
        self.shelves: list[stamps.Shelf] = []
        self.tally = [0, 0]

    def turns(self) -> range:
        """Return the turns that have come since the last look, of all at most once.

        By the clock: --rehash is a time, and looks may come late, or take long.
        """
        if self.rounds == 1:
            return range(self.turn, self.turn + 1)
        part = self.settings.rehash / self.rounds
        end = int((self.now() - self.born) / part) + 1
        return range(max(self.turn, end - self.rounds), end)

    def begins(self, turns: range) -> bool:
        """Return whether the first turn of all rounds is among these."""
        return (turns.start - 1) // self.rounds != (turns.stop - 1) // self.rounds

    def still(self) -> bool:
        """Return whether a look would see what the last one saw; False: perhaps.

        True is as good as that look: it took its turns.
        """
        table = self.table
        if (
                self.pid or self.hangs or table is None
                or table is not mounts.table() or table.away
        ):
            return False
        turns = self.turns()
        if self.begins(turns):
            return False
        for shelf in self.shelves:
            if not stamps.rests(shelf, turns, self.rounds):
                return False
        self.turn = turns.stop
        return True

    def look(self, dates: bool) -> change.Snapshot | None:
        """Return a snapshot; None: it goes on, or a stop was asked for."""
        settings = self.settings
        if not self.pid:
            turns = self.turns()
            if not self.can_hang(turns):
                return self.here(dates, turns)
            try:
                self.pid, self.fd = children.fork(lambda: apart(
                    settings.paths, self.ignore, dates,
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
            return unseen(settings.paths, children.fault(status, self.fd))
        snapshot, tally = cast(Any, children.value(self.fd))
        self.tally[:] = map(add, self.tally, tally)
        return revived(snapshot)

    def can_hang(self, turns: range) -> bool:
        """Return what mounts.can_hang does, asked again only where it may differ.

        A link may be made to lead to another mount at any time. Where none of ours
        can hang that is asked only at the first turn: it would have to lead into
        another mount namespace by /proc/PID/root, which no publisher of files does.
        """
        table = mounts.table()
        if table is not self.table:
            # A file may be on another mount now, and be found as it was there.
            self.shelves = [stamps.Shelf() for _ in self.settings.paths]
        if (
                table is None or table is not self.table or table.away
                or self.hangs or self.begins(turns)
        ):
            self.hangs = mounts.can_hang(self.settings.paths)
            self.table = table
        return self.hangs

    def here(self, dates: bool, turns: range) -> change.Snapshot | None:
        """Return a snapshot of what cannot hang; None: a stop was asked for."""
        settings = self.settings
        inexact = self.table.inexact if self.table else frozenset()
        terms = stamps.Terms(time.time(), inexact, turns, self.rounds)
        try:
            seen = contents.look(
                settings.paths, self.ignore, dates, stopping, terms, self.shelves,
                self.tally,
            )
        except MemoryError:
            return unseen(settings.paths, 'not enough memory to read it')
        if seen is not None:
            self.turn = turns.stop
        return seen

    def close(self) -> None:
        """End a look that is under way."""
        if self.pid:
            children.end(self.pid)
            os.close(self.fd)
            self.pid = 0


def apart(paths: Sequence[str], ignore: Sequence[str], dates: bool) -> object:
    """Be the child of a look: return its snapshot and its tally."""
    tally = [0, 0]
    return plain(contents.look(paths, ignore, dates, tally=tally)), tally


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
    """The command or request of one watch that is under way, and what came of it.

    fd: what the command prints. answer: what the request returned will be there.
    tail: the end of what was printed.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.fd = -1
        self.answer = -1
        self.tail = b''

    def run(self, command: Sequence[str], additions: Mapping[str, str]) -> str:
        """Start a command; return '' or why it cannot be."""
        self.tail = b''
        try:
            self.fd, theirs = children.pipe()
            try:
                environment = {**os.environ, **additions}
                # To spawn is to wait until the child has read its program.
                reach_all(command)
                self.pid = children.spawn(command, environment, theirs)
            finally:
                os.close(theirs)
        except OSError as error:
            self.cancel()
            return f'{command[0]}: {(error.strerror or str(error)).lower()}'
        return ''

    def ask(self, settings: Settings, url: str) -> str:
        """Start a request; return '' or why it cannot be."""
        self.tail = b''
        try:
            self.pid, self.answer = children.fork(lambda: asked(settings, url))
        except OSError as error:
            return f'no child for it: {(error.strerror or str(error)).lower()}'
        return ''

    def ran(self) -> int | None:
        """Return the exit status of the command, None while it runs.

        Of a request 0 where its answer is a success, else 1. To be asked every
        now and then, for it also empties the pipe.
        """
        status = children.ended(self.pid)
        if self.answer >= 0:
            return status if status is None else self.answered(status)
        self.tail = children.drained(self.fd, self.tail, SAID)
        if status is not None:
            # What it left running in its group ends with it.
            self.cancel()
        return status

    def answered(self, status: int) -> int:
        """Return 0 or 1 for the end of a request, by the status of its child."""
        fd, self.answer, self.pid = self.answer, -1, 0
        good, words = False, ''
        if status:
            words = f'failed: {children.fault(status, fd)}'
        else:
            good, words = cast(tuple[bool, str], children.value(fd))
        self.tail = words.encode()
        return int(not good)

    def said(self) -> str:
        """Return the end of what the last command printed."""
        return self.tail.decode('utf-8', 'backslashreplace').strip()

    def cancel(self) -> None:
        """End the command and all of its group."""
        if self.pid:
            children.end(self.pid)
            self.pid = 0
        for fd in (self.fd, self.answer):
            if fd >= 0:
                os.close(fd)
        self.fd = self.answer = -1


def asked(settings: Settings, url: str) -> tuple[bool, str]:
    """Be the child of a request: return whether it succeeded, and words for it."""
    from pollreload import request
    return request.send(
        url, settings.url_method, settings.url_status, settings.url_timeout,
    )


def searched(command: Sequence[str]) -> list[str]:
    """Return where a program is, or the directories that it is looked for in."""
    if '/' in command[0]:
        return [command[0]]
    return [place or '.' for place in os.environ.get('PATH', os.defpath).split(':')]


def reach_all(command: Sequence[str]) -> None:
    """Reach a program, and the interpreters that the kernel reads to run it.

    Raises OSError where one does not answer, or cannot be opened now.
    """
    for _ in range(INTERPRETERS):
        reached = functools.partial(reach, command)
        command = (carefully(reached, *searched(command)),)
        if not command[0]:
            return


def reach(command: Sequence[str]) -> str:
    """Read the beginning of a program, if it may be read: it answers, as does PATH.

    Return its interpreter, '' for none. Raises BlockingIOError where somebody has
    a lease on it: to spawn it would be to wait for them (fcntl(2), lease-break-time).
    """
    for place in searched(command):
        path = place if '/' in command[0] else os.path.join(place, command[0])
        try:
            # Before it is opened: a FIFO would wait for a writer.
            if not stat.S_ISREG(os.stat(path).st_mode):
                continue
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except BlockingIOError as error:
            says = 'somebody has a lease on it'
            raise BlockingIOError(errno.EWOULDBLOCK, says) from error
        except OSError:
            continue
        with open(fd, 'rb', buffering=0) as file:
            return interpreter(file.read(SHOWN) or b'')
    return ''


def interpreter(beginning: bytes) -> str:
    """Return what a file that begins so is run by, '' for itself (execve(2))."""
    words = beginning.partition(b'\n')[0].removeprefix(b'#!').split()
    if not beginning.startswith(b'#!') or not words:
        return ''
    # It is not looked for in PATH.
    return os.path.join('.', os.fsdecode(words[0].partition(b'\0')[0]))


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
            said = pidfile.Pidfile(*carefully(lambda: tuple(pidfile.read(name)), name))
        except OSError as error:
            said = pidfile.Pidfile(trouble=str(error.strerror))
        found = procfs.matches(
            settings.process, settings.cmdline, settings.uid, settings.all_namespaces,
            only=said.pid,
        )
        if said.missing:
            return Choice((), 'no target', f'there is no {settings.pidfile}')
        doubt = said.trouble or doubted(said.owner, said.written, found, said.links)
        if doubt:
            return Choice((), 'pidfile', f'{settings.pidfile} {doubt}')
        if procfs.started(said.pid) is None and not procfs.hidden():
            return Choice(
                (), 'no target', f'{settings.pidfile} names pid {said.pid}, which does '
                f'not run; start the program, or remove the file',
            )
    # The shell that runs us may go by the name; it yields to any other that does.
    others = tuple(each for each in found if not (
        each.ancestor and disposed(settings, each) in ('default', 'ignored')
    ))
    return choose(others or found, settings.select)


def doubted(
        owner: int, written: float, found: Sequence[Process], links: Sequence[int] = (),
) -> str:
    """Return why a pidfile cannot be believed about the process it names, or ''.

    owner: its uid; written: its mtime, in seconds of CLOCK_REALTIME. links: the
    uids of the links that lead to it: their owners can have them lead elsewhere.
    """
    for process in found:
        if owner not in (0, os.geteuid(), process.uid):
            return (
                f'belongs to uid {owner}, and {process} to uid {process.uid}; a '
                f'pidfile must belong to root, to us or to its process'
            )
        for link in links:
            if link not in (0, os.geteuid(), process.uid):
                return (
                    f'is reached by a link of uid {link}, and {process} belongs to uid '
                    f'{process.uid}; such a link must belong to root, to us or to its '
                    f'process'
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
        if remedy := procfs.hidden():
            return f'{procfs.HIDDEN}, so one may meet {conditions}; {remedy}'
        return f'no process meets {conditions}'
    # One that was started below us meets none of them, and is said to be there.
    if conditions and not all(map(procfs.ours, procfs.candidates(settings.process))):
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
        # Where we do not even see ourselves (no descriptor to spare) nobody is gone.
        return 'gone' if procfs.stat('/proc/self') else 'pending'
    masks = procfs.masks(process.pid)
    if masks is not None and masks.pending & 1 << (number - 1):
        return 'pending'
    return 'alive'


def send(process: Process, number: int) -> str:
    """Send the signal by the safest way there is; see delivery.send.

    Where a stop was asked for, nothing is: nobody would see what came of it.
    """
    if stopping():
        return 'gone'
    return delivery.send(process.pid, process.started, number, procfs.started)


def world(
        settings: Settings, eyes: Eyes, hands: Hands, say: Say,
        save: Callable[[State], bool],
) -> World:
    """Return the world of a watch."""
    if settings.pidfile is not None:
        # Not at the first change: an upgrade may have moved us away by then.
        from pollreload import pidfile  # noqa: F401
    return World(
        now=procfs.now,
        jitter=jitter,
        still=eyes.still,
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
        ask=lambda url: hands.ask(settings, url),
        ran=hands.ran,
        cancel=hands.cancel,
        said=hands.said,
        save=save,
        say=say,
        ticks=procfs.ticks(),
        splay=splayed(settings.splay),
        us=us(),
        entitle=entitle,
    )


def kept(function: Callable[[str], Any], path: str) -> Any:
    """Return what a function of the ledger returns for a path that may hang.

    Raises what the function does, and LedgerError where the disk does not answer.
    """
    return opened(lambda path, call: carefully(call, path), function, path)


def opened(
        by: Callable[[str, Callable[[], Any]], Any], function: Callable[[str], Any],
        path: str,
) -> Any:
    """Return what a function returns that is called by another, as kept."""
    def call() -> tuple[str, object]:
        try:
            return '', function(path)
        except (LedgerError, LedgerBusy) as error:
            return type(error).__name__, str(error)

    try:
        trouble, got = by(path, call)
    except OSError as error:
        raise LedgerError(f'the ledger {path}: {error.strerror}') from error
    if trouble:
        raise FAULTS[trouble](got)
    return got


def claim(path: str) -> Callable[[], None]:
    """Hold a ledger, and return what lets go of it; raises what ledger.lock does.

    Where its disk may hang a child holds it, for to let go of it may take as
    long as the server is away, and we are to end at once.
    """
    from pollreload import ledger

    held: list[int] = []

    def hold(path: str, call: Callable[[], Any]) -> Any:
        if mounts.can_hang((path,)):
            got, life = children.keep(call, PATIENCE, stopping)
            held.append(life)
            return got
        trouble, got = call()
        held.extend(() if trouble else (got,))
        return trouble, got

    def let_go() -> None:
        while held:
            os.close(held.pop())

    try:
        opened(hold, ledger.lock, path)
    except BaseException:
        let_go()
        raise
    return let_go


def store(path: str, memory: Mapping[str, object]) -> None:
    """Replace a ledger; raises LedgerError, also where the disk does not answer."""
    from pollreload import ledger
    kept(lambda path: ledger.save(path, memory), path)


def recall(settings: Settings, path: str, here: memory.Here) -> State:
    """Return the state that the ledger keeps; a blank one where there is none.

    Raises LedgerKept for one that is corrupt or newer (nobody may be told on
    the strength of it), LedgerError for one that cannot be used.
    """
    from pollreload import ledger
    said = kept(ledger.peek if settings.dry_run else ledger.load, path)
    if said is None:
        return State()
    try:
        state = memory.revive(said, here, contents.fingerprint)
        if state is not None and memory.latest(state) > procfs.now() + 1.0:
            raise ValueError('it speaks of the future')
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        if not settings.dry_run:
            path = kept(ledger.aside, path)
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
    return memory.Here(
        ledger.key(settings, directory()), procfs.boot(), procfs.pid_namespace(),
    )


def directory() -> str:
    """Return where we are, '/' where that was removed under us."""
    try:
        return os.getcwd()
    except OSError:
        # Only a relative path would need it, and finds nothing.
        return '/'
