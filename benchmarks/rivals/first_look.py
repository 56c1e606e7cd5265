"""The first look of a watch at a file: first_look.py FILE. Prints ns of CPU."""
import sys
import time

from pollreload.runtime.observer import Eyes
from pollreload.settings import Settings

eyes = Eyes(Settings(paths=(sys.argv[1],)))
before = time.process_time_ns()
eyes.look(True)
print(time.process_time_ns() - before)
