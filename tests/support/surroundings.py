"""What the test runner inherits from whatever started it, set to known values.

nohup ignores SIGHUP, a shell ignores SIGINT and SIGQUIT in a background job, systemd
ignores SIGPIPE; a service manager, a terminal or a login shell adds variables. The
children of the tests inherit all of it.
"""
from __future__ import annotations

import os
import re
import signal
import time

UMASK = 0o022
# Read by pollreload, by Python's or click's output, or by libc in a child. The tests
# of Kubernetes read POLLRELOAD_TEST_*.
VARIABLES = re.compile(
    '_?POLLRELOAD_(?!TEST_).*|FILE|PROCESS|SIGNAL'
    '|NO_COLOR|FORCE_COLOR|CLICOLOR.*|COLUMNS|LINES'
    '|JOURNAL_STREAM|INVOCATION_ID|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*'
    '|(STATE|RUNTIME|CONFIGURATION)_DIRECTORY|XDG_CONFIG_HOME'
    '|TZ|LANG|LANGUAGE|LC_.*|CDPATH|ENV|BASH_ENV|POSIXLY_CORRECT'
    '|MANPAGER|MANWIDTH|PAGER|LESS.*|GREP_.*|PYTHONUTF8|PYTHONIOENCODING'
    '|PYTHONWARNINGS|PYTHONOPTIMIZE|PYTHONSAFEPATH|PYTHONUNBUFFERED',
)
SET = {'LANG': 'C.UTF-8', 'TZ': 'UTC'}


def reset() -> None:
    """Set signal dispositions and mask, umask and environment to known values.

    Handlers stay: they are those of Python and of the test runner.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    # As Python sets them when it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(UMASK)
    for name in filter(VARIABLES.fullmatch, list(os.environ)):
        del os.environ[name]
    os.environ.update(SET)
    time.tzset()
