"""The program that is told: target.py NAME. It writes each HUP's time to stdout.

The times are nanoseconds of CLOCK_MONOTONIC, taken in the handler.
"""
import ctypes
import os
import signal
import sys
import time


def told(*_: object) -> None:
    os.write(1, b'%d\n' % time.monotonic_ns())


ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)  # PR_SET_NAME
signal.signal(signal.SIGHUP, told)
os.write(1, b'ready\n')
# Its stdin ends with whoever started it.
while os.read(0, 1):
    pass
