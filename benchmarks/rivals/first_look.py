"""The first look of a watch at a file: first_look.py FILE. Prints ns of CPU."""
import sys
import time

from pollreload.settings import Settings
from pollreload.wiring import Eyes

eyes = Eyes(Settings(paths=(sys.argv[1],)))
before = time.process_time_ns()
eyes.look(True)
print(time.process_time_ns() - before)
