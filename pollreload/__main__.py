"""Where pollreload begins, and where its errors end."""
from __future__ import annotations

import gc
import os
import signal
import sys
from typing import Any, cast

from pollreload.errors import PollreloadError

FAULT = 70  # EX_SOFTWARE, sysexits.h


def main() -> int:
    """Run the command line of this process; return the exit status."""
    words = sys.argv[1:]
    stand_in()
    # What is imported stays: to search it for garbage takes a tenth of the time
    # that a check with nothing due takes.
    gc.disable()
    try:
        if words[:1] == ['watch']:
            return sidecar(words)
        from pollreload.cli import main as run
        return cast(int, run(words))
    except PollreloadError as error:
        print(f'pollreload: {error}', file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # Who read our output has gone; let the flush at exit not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except Exception:
        # Whatever else comes here is a fault of ours, and worth a report.
        import traceback
        traceback.print_exc()
        print('pollreload: this is a fault in pollreload; please report it',
              file=sys.stderr)
        return FAULT


def stand_in() -> None:
    """Open what of stdin, stdout and stderr is closed, on /dev/null.

    Or the next file that is opened takes its place, and gets what is printed.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or open(1, 'w', closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, 'w', closefd=False)  # noqa: SIM115


def sidecar(words: list[str]) -> int:
    """Run a watch, whose words are read by a child.

    What reads them (click) takes 4 MB, which the sidecar would carry for as
    long as it lives.
    """
    from pollreload import children, watch
    watch.block()
    pid, fd = children.fork(lambda: parsed(words))
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    status = children.ended(pid)
    if status:
        return FAULT if status < 0 else status
    got = cast(Any, children.value(fd))
    if isinstance(got, int):
        return got
    from pollreload.settings import Settings
    return watch.run(Settings(*got))


def parsed(words: list[str]) -> object:
    """Return the exit status or the settings that the words stand for."""
    from pollreload.cli import parsed as read
    return read(words)


if __name__ == '__main__':
    raise SystemExit(main())
