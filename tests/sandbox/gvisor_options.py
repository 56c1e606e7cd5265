"""The options of the watches in gVisor."""
from __future__ import annotations

from tests.sandbox.gvisor import WATCHED

QUICK = (
    'watch', '--interval', '200ms', '--settle', '100ms', '--survive', '200ms',
    '--on-start', 'never', '--log-format', 'json', '-v',
)
# By default a target has to be 10 s old here; no test but that of it waits so long.
EAGER = ('--min-uptime', '0')
APP = ('--process', 'app', *WATCHED)
