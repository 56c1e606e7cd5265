"""The first look of a watch at a file: first_look.py FILE. Prints ns of CPU."""
import sys
import time

from pollreload.runtime.observer import Observer
from pollreload.settings import Settings

observer = Observer(Settings(paths=(sys.argv[1],)))
before = time.process_time_ns()
observer.poll(True)
print(time.process_time_ns() - before)
