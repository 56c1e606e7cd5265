"""The first look of a watch at a file: first_look.py FILE. Prints ns of CPU."""
import sys
import time

from pollreload import contents

before = time.process_time_ns()
contents.look(sys.argv[1:], ())
print(time.process_time_ns() - before)
