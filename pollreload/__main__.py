"""The entry point: runs a command and prints its errors as one line."""
from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import Any, NoReturn, cast

from pollreload.errors import REPORT, PollreloadError
from pollreload.system.children import open_null

FAULT = 70  # EX_SOFTWARE, sysexits.h
IO_ERROR = 74  # EX_IOERR
# Only writes to stdout fail like this: errors of the ledger are LedgerErrors.
UNWRITTEN = (errno.EPIPE, errno.ENOSPC)


def main() -> int:
    """Run the command line of this process; return the exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ['watch']:
        # HUP and USR1 ask a watch for something and must not end it while it starts.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, signal.SIGUSR1))
    stand_in()
    if arguments[:1] != ['smoke'] and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # Ends the process without a traceback, like any program; smoke cleans up.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # What is imported stays: to search it for garbage takes a tenth of the time
    # that a check with nothing due takes.
    gc.disable()
    try:
        status = run_command(arguments)
        sys.stdout.flush()
        return status
    except PollreloadError as error:
        print(f'pollreload: {error}', file=sys.stderr)
        return error.status
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITTEN:
            return status_of_failed_write(error)
        # Anything else is a fault in pollreload.
        import traceback
        traceback.print_exc()
        print(f'pollreload: this is a fault in pollreload; {REPORT}, with these lines',
              file=sys.stderr)
        return FAULT


def status_of_failed_write(error: OSError) -> int:
    """Return the exit status after a write to stdout failed."""
    # The rest of the buffer would fail again at exit.
    os.dup2(open_null(), 1)
    if error.errno == errno.EPIPE:
        return 128 + signal.SIGPIPE
    print(f'pollreload: cannot write to stdout: {error.strerror}', file=sys.stderr)
    return IO_ERROR


def run_command(arguments: list[str]) -> int:
    """Run a command."""
    if arguments[:1] == ['watch']:
        return sidecar(arguments)
    from pollreload.cli.main import main as run
    return cast(int, run(arguments))


def stand_in() -> None:
    """Open those of stdin, stdout and stderr that are closed, on /dev/null.

    Otherwise the next file that is opened takes their place and gets the output.
    """
    while (fd := open_null()) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or open(1, 'w', closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, 'w', closefd=False)  # noqa: SIM115
    if sys.stdout.errors == 'strict':
        # A file name may hold characters that the encoding of stdout lacks.
        cast(Any, sys.stdout).reconfigure(errors='backslashreplace')


def sidecar(arguments: list[str]) -> int:
    """Run a watch; a child parses its arguments.

    The parser (click) takes 4 MB, which the sidecar would keep for as long as it
    lives.
    """
    from pollreload.commands import watch
    from pollreload.settings import unpack
    from pollreload.system import children
    watch.block()
    try:
        # Deaf: signals to the process group are answered by the watch.
        pid, fd = children.fork(lambda: parsed(arguments), deaf=True)
    except OSError:
        # No child can be started: parse in this process and keep the memory.
        got = parsed(arguments)
    else:
        ending = {signal.SIGTERM, signal.SIGINT}
        while (status := children.poll_child(pid)) is None:
            if signal.sigwait({*ending, signal.SIGCHLD}) in ending:
                children.end(pid)
                return 0
        if status:
            return 128 - status if status < 0 else status
        got = cast(Any, children.read_value(fd))
    if isinstance(got, int):
        return got
    return watch.run(unpack(got), lambda: reread_config(arguments))


def reread_config(arguments: list[str]) -> object:
    """Parse the arguments and the config file again; called in a child."""
    from pollreload.cli.main import packed_plan as read
    return read(arguments)


def parsed(arguments: list[str]) -> Any:
    """Parse the arguments; return an exit status, or the packed plan of a watch."""
    from pollreload.cli.main import run_packed as read
    try:
        return read(arguments)
    except OSError as error:
        if error.errno not in UNWRITTEN:
            raise
        return status_of_failed_write(error)


def command() -> NoReturn:
    """Run main and exit.

    os._exit skips the interpreter's finalization, a tenth of the time of a check
    that finds nothing; main has written all output.
    """
    status = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        status = status_of_failed_write(error)
    os._exit(status)


if __name__ == '__main__':
    command()
