"""Many processes that sleep: crowd.py COUNT NAME. The last one goes by the name."""
import os
import shutil
import sys
import tempfile

count, name = int(sys.argv[1]), sys.argv[2]
sleep = shutil.which('sleep')
assert sleep
pids = []
with tempfile.TemporaryDirectory() as directory:
    named = os.path.join(directory, name)
    os.symlink(sleep, named)
    try:
        for at in range(count):
            program = named if at == count - 1 else sleep
            pids.append(os.posix_spawn(program, [program, '900'], os.environ))
        os.write(1, b'ready\n')
        while os.read(0, 1):
            pass
    finally:
        for pid in pids:
            os.kill(pid, 9)
        for pid in pids:
            os.waitpid(pid, 0)
