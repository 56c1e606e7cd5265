"""Processes to be notified, real ones, of every disposition.

start('handler') returns once its target is ready for signals. Each target
reports on a line of its own every signal that reaches it, in order; that one
did not is proved by sending USR1 next and reading that first. All but 'sigwait',
'sigwait-thread' and 'leaderless' handle USR1, whatever they do with HUP.

    handler         HUP has a handler
    default         HUP has its default, and kills
    ignored         HUP is ignored
    blocked         HUP and USR1 are blocked and read from a signalfd(2)
    blocked-unread  HUP is blocked and no one reads it
    sigwait         HUP and USR1 are blocked and awaited in sigwaitinfo(2), whose
                    masks are those of the default in /proc
    sigwait-thread  a thread is as in sigwait, the first one blocks HUP and USR1
    sigwait-other   as in sigwait, but only USR1 is blocked and awaited: HUP kills
    sigwait-other-thread  a thread is as in sigwait-other, the first one blocks USR1
    late            HUP has its default until tell('handle'), answered 'handling'
    forking         a master handles HUP: it starts new workers, ends the old, and
                    reports; they have its name, and HUP has its default in them
    exits           HUP is reported, and then the target exits with 0
    leaderless      the first thread has exited, another is as in sigwait
"""
from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

DEADLINE = 60.0
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
REPORTED = (signal.SIGHUP, signal.SIGUSR1)
SYS_EXIT = {'x86_64': 60, 'aarch64': 93}


class Target:
    """A target: its pid, what it says, and its end.

    pid: in our pid namespace, also for one in a namespace of its own.
    workers: the pids of the first workers of 'forking', as itself sees them.
    """

    def __init__(self, child: subprocess.Popen[bytes], namespace: bool) -> None:
        self.child = child
        self.unread = b''
        self.pid = child.pid
        self.workers: list[int] = []
        try:
            ready, *workers = self.read().split()
            assert ready == 'ready', ready
            self.workers = [int(worker) for worker in workers]
            if namespace:
                self.pid = only_child(child.pid)
            settle(self.pid)
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def read(self, deadline: float = DEADLINE) -> str:
        """Return the next line; '' when there will be no more.

        Raises AssertionError when it says nothing for the deadline, in seconds.
        """
        assert self.child.stdout is not None
        fd = self.child.stdout.fileno()
        until = time.monotonic() + deadline
        while b'\n' not in self.unread:
            left = max(0.0, until - time.monotonic())
            readable, _, _ = select.select([fd], [], [], left)
            assert readable, f'the target said nothing for {deadline} s'
            read = os.read(fd, 4096)
            if not read:
                return ''
            self.unread += read
        line, _, self.unread = self.unread.partition(b'\n')
        return line.decode()

    def tell(self, word: str) -> None:
        """Write a line to its stdin."""
        assert self.child.stdin is not None
        self.child.stdin.write(word.encode() + b'\n')
        self.child.stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """Stop it by SIGSTOP, and wait until it has."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.child.pid, os.WSTOPPED | os.WNOWAIT)

    def zombie(self) -> None:
        """Kill it, and wait until it is a zombie that no one has reaped."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)

    def wait(self) -> int:
        """Wait until it has ended; return its status, -N for signal N."""
        return self.child.wait(DEADLINE)

    def end(self) -> None:
        """Kill it, whatever state it is in, and reap it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.child.kill()
        self.child.wait(DEADLINE)
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            # What was never read by it cannot be flushed any more.
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def start(
        kind: str, *, name: str = '', workers: int = 2, uid: int = 0,
        namespace: bool = False, program: str = '', arguments: Sequence[str] = (),
) -> Target:
    """Start a target and return it when it is ready; end it with .end() or `with`.

    name: its comm, for prctl(2), which takes the first 15 bytes.
    uid: what it becomes by setuid(2); 0 for no change.
    namespace: it is pid 1 of a new pid namespace with its own /proc.
    program: a link to the interpreter to start it by, whose name is then the
        first name, and argv[0].
    args: more, that mean nothing to it, to be found in its cmdline.
    """
    # -I -S: nothing of site, for 15 ms each matter in a suite of hundreds.
    command = [
        program or sys.executable, '-I', '-S', os.path.abspath(__file__),
        kind, name, str(workers), str(uid), *arguments,
    ]
    if namespace:
        options = ('--pid', '--fork', '--mount-proc', '--kill-child')
        command = ['unshare', *options, *command]
    return Target(
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            # Coverage measures the children of the tests; these are no code of
            # pollreload.
            env={key: os.environ[key] for key in ('PATH',) if key in os.environ},
        ),
        namespace,
    )


def reaped() -> int:
    """Return a pid that no process has: that of a child that was just reaped.

    The kernel gives pids out in a circle, so it is free for a long time (proc(5),
    /proc/sys/kernel/pid_max).
    """
    pid = os.posix_spawn(sys.executable, (sys.executable, '-I', '-S', '-c', ''), {})
    os.waitpid(pid, 0)
    return pid


def only_child(pid: int) -> int:
    """Return the child of a process that has just one."""
    for entry in filter(str.isdecimal, os.listdir('/proc')):
        with contextlib.suppress(OSError), open(f'/proc/{entry}/stat', 'rb') as stat:
            if int(stat.read().rpartition(b')')[2].split()[1]) == pid:
                return int(entry)
    raise AssertionError(f'pid {pid} has no child')


def settle(pid: int) -> None:
    """Wait until every thread of a process sleeps: in sigwaitinfo(2), say."""
    until = time.monotonic() + DEADLINE
    while any(state in b'RD' for state in states(pid)):
        assert time.monotonic() < until, f'pid {pid} does not sleep'
        os.sched_yield()


def states(pid: int) -> list[bytes]:
    """Return the state of each thread of a process."""
    found = []
    for thread in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{thread}/stat', 'rb') as stat:
            found.append(stat.read().rpartition(b')')[2].split()[0])
    return found


# From here on: what runs in the target.


def say(line: str) -> None:
    """Report, in one write, so that no two lines mix."""
    os.write(1, f'{line}\n'.encode())


def short(number: int) -> str:
    """Return 'HUP' for 1."""
    return signal.Signals(number).name.removeprefix('SIG')


def prctl(option: int, argument: int | bytes) -> None:
    """Call prctl(2)."""
    ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)


def nothing(*_: object) -> None:
    """Handle a signal: that it came is read from the wake-up descriptor."""


def handle(numbers: Sequence[int]) -> None:
    """Give signals a handler."""
    for number in numbers:
        signal.signal(number, nothing)


def awaken() -> int:
    """Return a descriptor that has the number of each handled signal as a byte.

    Python's own handlers run some time after the signal; a pause() in between
    would lose it.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    return reader


def wait_in_turn(numbers: Sequence[int] = REPORTED) -> None:
    """Take the signals one by one in sigwaitinfo(2)."""
    while True:
        say(short(signal.sigwaitinfo(numbers).si_signo))


def read_signalfd() -> None:
    """Take the signals one by one from a signalfd(2), while they stay blocked."""
    mask = ctypes.c_uint64(sum(1 << (number - 1) for number in REPORTED))
    libc = ctypes.CDLL(None)
    # The libc's sigset_t is longer than what the kernel looks at, sigprocmask(2).
    args = (ctypes.c_uint64 * 16)(mask.value)
    fd = libc.signalfd(-1, ctypes.byref(args), 0)
    say('ready')
    while True:
        # struct signalfd_siginfo: 128 bytes, ssi_signo is the first word.
        say(short(int.from_bytes(os.read(fd, 128)[:4], sys.byteorder)))


def outlive() -> None:
    """Wait, in a thread, for the first thread to be gone; then take signals."""
    while True:
        with open('/proc/self/stat', 'rb') as stat:
            if stat.read().rpartition(b')')[2].split()[0] == b'Z':
                break
        time.sleep(0.001)
    say('ready')
    wait_in_turn()


def workers(count: int) -> list[int]:
    """Start workers, which die of a HUP, and wait until they do.

    Until then they have the handlers of the master, and so would be signalled.
    """
    pids = []
    master = os.getpid()
    reader, writer = os.pipe()
    for _ in range(count):
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            for number in REPORTED:
                signal.signal(number, signal.SIG_DFL)
            os.write(writer, b'.')
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            # The master may have been killed before that was asked for.
            while os.getppid() == master:
                signal.pause()
            os._exit(0)
        pids.append(pid)
    for _ in pids:
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    return pids


def unsignalled(target: Target) -> bool:
    """Return whether a target lives and has seen no signal since the last one read."""
    target.signal(signal.SIGUSR1)
    return target.read() == 'USR1'


def main(kind: str, name: str, count: int, uid: int) -> None:
    """Be a target."""
    if uid:
        os.setuid(uid)
    # After setuid(2), which would undo it.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if name:
        prctl(PR_SET_NAME, os.fsencode(name))
    if kind in ('blocked', 'sigwait', 'sigwait-thread', 'leaderless'):
        signal.pthread_sigmask(signal.SIG_BLOCK, REPORTED)
    match kind:
        case 'blocked':
            read_signalfd()
        case 'sigwait':
            say('ready')
            wait_in_turn()
        case 'sigwait-thread':
            threading.Thread(target=wait_in_turn).start()
            say('ready')
            threading.Event().wait()
        case 'sigwait-other':
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            say('ready')
            wait_in_turn([signal.SIGUSR1])
        case 'sigwait-other-thread':
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            threading.Thread(target=wait_in_turn, args=([signal.SIGUSR1],)).start()
            say('ready')
            threading.Event().wait()
        case 'leaderless':
            threading.Thread(target=outlive).start()
            # exit(2), not exit_group(2): of this thread alone. CDLL has let go
            # of the interpreter's lock.
            ctypes.CDLL(None).syscall(SYS_EXIT[os.uname().machine], 0)
    reader = awaken()
    handle([signal.SIGUSR1])
    started: list[int] = []
    match kind:
        case 'handler' | 'exits':
            handle([signal.SIGHUP])
        case 'ignored':
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        case 'blocked-unread':
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        case 'forking':
            handle([signal.SIGHUP])
            started = workers(count)
        case 'default' | 'late':
            pass
        case _:
            raise ValueError(kind)
    say(' '.join(('ready', *map(str, started))))
    while kind == 'late':
        if 0 not in select.select([0, reader], [], [])[0]:
            say(short(os.read(reader, 1)[0]))
            continue
        kind = 'handler'
        if os.read(0, 64) == b'handle\n':
            handle([signal.SIGHUP])
            say('handling')
    while True:
        number = os.read(reader, 1)[0]
        old = started
        if kind == 'forking' and number == signal.SIGHUP:
            started = workers(count)
            for pid in old:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        say(short(number))
        if kind == 'exits' and number == signal.SIGHUP:
            os._exit(0)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
