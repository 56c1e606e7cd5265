"""Where pollreload begins, and where its errors end."""
from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import Any, NoReturn, cast

from pollreload.errors import PollreloadError
from pollreload.system.children import nowhere

FAULT = 70  # EX_SOFTWARE, sysexits.h
IO_ERROR = 74  # EX_IOERR
# Nothing else that we do can fail so: the ledger's errors are LedgerErrors.
UNWRITTEN = (errno.EPIPE, errno.ENOSPC)


def main() -> int:
    """Run the command line of this process; return the exit status."""
    words = sys.argv[1:]
    if words[:1] == ['watch']:
        # What asks a watch for something must not end it while it starts.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGUSR1))
    stand_in()
    if words[:1] != ['smoke'] and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # It ends us as it ends any program, without a traceback; smoke cleans up.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What is imported stays: to search it for garbage takes a tenth of the time
    # that a check with nothing due takes.
    gc.disable()
    try:
        status = run(words)
        sys.stdout.flush()
        return status
    except PollreloadError as error:
        print(f'pollreload: {error}', file=sys.stderr)
        return error.status
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITTEN:
            return unwritten(error)
        # Whatever else comes here is a fault of ours, and worth a report.
        import traceback
        traceback.print_exc()
        print('pollreload: this is a fault in pollreload; please report it',
              file=sys.stderr)
        return FAULT


def unwritten(error: OSError) -> int:
    """Return the exit status where stdout took no more of what we print."""
    # What is left in the buffer would fail once more at exit.
    os.dup2(nowhere(), 1)
    if error.errno == errno.EPIPE:
        return 128 + signal.SIGPIPE
    print(f'pollreload: cannot write to stdout: {error.strerror}', file=sys.stderr)
    return IO_ERROR


def run(words: list[str]) -> int:
    """Run a command."""
    if words[:1] == ['watch']:
        return sidecar(words)
    from pollreload.cli.main import main as run
    return cast(int, run(words))


def stand_in() -> None:
    """Open what of stdin, stdout and stderr is closed, on /dev/null.

    Or the next file that is opened takes its place, and gets what is printed.
    """
    while (fd := nowhere()) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or open(1, 'w', closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, 'w', closefd=False)  # noqa: SIM115
    if sys.stdout.errors == 'strict':
        # A name may hold what the encoding of stdout cannot say.
        cast(Any, sys.stdout).reconfigure(errors='backslashreplace')


def sidecar(words: list[str]) -> int:
    """Run a watch, whose words are read by a child.

    What reads them (click) takes 4 MB, which the sidecar would carry for as
    long as it lives.
    """
    from pollreload.commands import watch
    from pollreload.settings import unpack
    from pollreload.system import children
    watch.block()
    try:
        # Deaf, as what is sent to all of us is for the watch to answer.
        pid, fd = children.fork(lambda: parsed(words), deaf=True)
    except OSError:
        # No process to spare: then the memory has to be.
        got = parsed(words)
    else:
        ending = {signal.SIGTERM, signal.SIGINT}
        while (status := children.ended(pid)) is None:
            if signal.sigwait({*ending, signal.SIGCHLD}) in ending:
                children.end(pid)
                return 0
        if status:
            return 128 - status if status < 0 else status
        got = cast(Any, children.value(fd))
    if isinstance(got, int):
        return got
    return watch.run(unpack(got), lambda: reread(words))


def reread(words: list[str]) -> object:
    """Return what the words stand for by now, as cli.reread does; for a child."""
    from pollreload.cli.main import reread as read
    return read(words)


def parsed(words: list[str]) -> Any:
    """Return the exit status or the plan that the words stand for."""
    from pollreload.cli.main import run_packed as read
    try:
        return read(words)
    except OSError as error:
        if error.errno not in UNWRITTEN:
            raise
        return unwritten(error)


def command() -> NoReturn:
    """Be a program.

    What the interpreter does at its end, a tenth of a check that finds nothing, is
    of no use to a process that ends: main has written what there was to write.
    """
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        status = unwritten(error)
    os._exit(status)


if __name__ == '__main__':
    command()
