"""Find a process by its name: find.py pollreload|psutil NAME.

Prints how many were found, and the ns of CPU of each of five times.
"""
import sys
import time
from collections.abc import Callable

who, name = sys.argv[1:]
find: Callable[[], int]
if who == 'psutil':
    import psutil  # type: ignore[import-not-found,import-untyped,unused-ignore]

    def find() -> int:
        return sum(
            process.info['name'] == name for process in psutil.process_iter(['name'])
        )
else:
    from pollreload.system import process_table

    def find() -> int:
        return len(process_table.matches(name, None, None, all_namespaces=False))

took = []
count = 0
for _ in range(5):
    before = time.process_time_ns()
    count = find()
    took.append(time.process_time_ns() - before)
print(count, *took)
