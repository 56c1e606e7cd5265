"""The floor: what no poller in Python can go below. floor.py SECONDS FILE..."""
import os
import signal
import sys

from xxhash import xxh3_128_digest

signals = {signal.SIGTERM, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
interval, paths = float(sys.argv[1]), sys.argv[2:]
known = [b''] * len(paths)
while True:
    for at, path in enumerate(paths):
        file = os.open(path, os.O_RDONLY)
        digest = xxh3_128_digest(os.read(file, 65536))
        os.close(file)
        if digest != known[at]:
            known[at] = digest
    if signal.sigtimedwait(signals, interval):
        break
