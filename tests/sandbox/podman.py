"""podman in a machine of its own, which leaves nothing behind.

The machine is a pid and a mount namespace. Its first process ends with us, and
with that one the kernel ends all that is in there: podman, conmon, containers,
mounts. Files, locks and images are the machine's own, so that nothing of the
host's podman is seen or touched. Only cgroups are left, and removed by name.

Without the right to raise limits (CAP_SYS_RESOURCE) podman needs both,
nofile and nproc; and crun refuses a host that has cgroups of both versions.
"""
from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.sandbox import changes
from tests.sandbox.harness import APP, TOOLS, Lines, fetched, needed
from tests.servers.harness import missing
from tests.support.sidecar import Event, Sidecar
from tests.support.targets import only_child

IMAGE, BASE = 'localhost/pollreload:test', 'localhost/base:test'
PATH = '/usr/local/bin:/usr/bin:/bin'  # of the base
CONFIG = '/config'  # the mount point of the files
CGROUPS = Path('/sys/fs/cgroup')
DEADLINE = 60.0  # s for any one thing

ENGINE = string.Template('''\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
events_logfile_path = "$PLACE/events"
[engine.runtimes]
runc = ["$RUNC"]
kubernetes = ["$PLACE/kubernetes"]
''')
STORAGE = string.Template('''\
[storage]
driver = "$DRIVER"
graphroot = "$PLACE/root"
runroot = "$PLACE/run"
[storage.options]
additionalimagestores = [$IMAGES]
''')
# containerd and CRI-O ask for no ambient capabilities and no inheritable ones,
# podman does for a user who is not root: so an exec(2) takes them from that one
# (capabilities(7)). Here the wish is taken out of what podman asks runc for.
WITHOUT_AMBIENT = string.Template('''\
#!$PYTHON
import json, os, sys
if '--bundle' in sys.argv:
    name = sys.argv[sys.argv.index('--bundle') + 1] + '/config.json'
    with open(name) as file:
        config = json.load(file)
    for kind in 'ambient', 'inheritable':
        config['process']['capabilities'].pop(kind, None)
    with open(name, 'w') as file:
        json.dump(config, file)
os.execv('$RUNC', ['$RUNC', *sys.argv[1:]])
''')


class Machine:
    """Where podman runs: its files in a directory, its processes in a namespace.

    place: its files, all of them.
    images: another machine's, whose images this one reads; None for none.
    pid: of its first process, as we see it.
    """

    def __init__(self, place: Path, images: Path | None) -> None:
        for program in ('podman', 'conmon', 'runc', 'catatonit'):
            needed(program, program)
        if os.geteuid():
            missing('podman is to be run as root')
        self.place = place
        self.env = {
            'PATH': f'{os.environ.get("PATH", "")}:/usr/sbin:/sbin',
            'HOME': str(place), 'TMPDIR': str(place),
            'CONTAINERS_CONF': str(place / 'engine.conf'),
            'CONTAINERS_STORAGE_CONF': str(place / 'storage.conf'),
        }
        configure(place, images)
        # catatonit reaps what is left by anyone who started it. /dev/shm and /run have
        # podman's locks, and what it takes for the host's containers.
        self.keeper = subprocess.Popen(
            ('unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc',
             'catatonit', '--', 'sh', '-c',
             'mount -t tmpfs shm /dev/shm && mount -t tmpfs run /run && echo here &&'
             ' exec cat'),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env,
        )
        assert self.keeper.stdout is not None
        try:
            said = self.keeper.stdout.readline()
            assert said == b'here\n', 'there is no namespace to be had'
            self.pid = only_child(self.keeper.pid)
        except BaseException:
            self.end()
            raise

    def command(self, *args: str) -> list[str]:
        """Return a call of podman."""
        return [
            'nsenter', f'--target={self.pid}', '--mount', '--pid', 'podman', *args,
        ]

    def run(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Call podman, and wait for its end."""
        done = subprocess.run(
            self.command(*args), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=DEADLINE, check=False, env=self.env,
        )
        assert not (check and done.returncode), f'podman {args}: {done.stderr}'
        return done

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Call podman; what it says is in the pipes of what is returned."""
        return subprocess.Popen(
            self.command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=self.env,
        )

    def status(self, name: str) -> dict[str, str]:
        """Return /proc/PID/status of the first process of a container that runs."""
        pid = self.run('inspect', '--format={{.State.Pid}}', name).stdout.strip()
        # The machine's own /proc, by the root directory of its first process.
        text = Path(f'/proc/{self.pid}/root/proc/{pid}/status').read_text('utf-8')
        parts = (line.partition(':') for line in text.splitlines())
        return {name: value.strip() for name, _, value in parts}

    def mounts(self, name: str) -> str:
        """Return /proc/PID/mounts of the first process of a container that runs."""
        pid = self.run('inspect', '--format={{.State.Pid}}', name).stdout.strip()
        return Path(f'/proc/{self.pid}/root/proc/{pid}/mounts').read_text('utf-8')

    def stop(self, name: str, seconds: int) -> int:
        """Stop a container by TERM, and after some seconds by KILL.

        Returns its exit status, 137 if it took the KILL.
        """
        self.run('stop', f'--time={seconds}', name)
        return int(self.run('inspect', '--format={{.State.ExitCode}}', name).stdout)

    def end(self) -> None:
        """End everything that runs in it."""
        # An end of its stdin is the end of its first process, and the kernel lets
        # that one go when all others are gone (pid_namespaces(7)).
        self.keeper.communicate(timeout=DEADLINE)
        remove_cgroups(known(self.place / 'events'))


def configure(place: Path, images: Path | None) -> None:
    """Write what podman reads."""
    runc = needed('runc', 'runc')
    (place / 'engine.conf').write_text(
        ENGINE.substitute(PLACE=place, RUNC=runc), 'utf-8',
    )
    (place / 'storage.conf').write_text(STORAGE.substitute(
        PLACE=place, DRIVER=driver(place),
        IMAGES='' if images is None else f'"{images}/root"',
    ), 'utf-8')
    kubernetes = place / 'kubernetes'
    kubernetes.write_text(
        WITHOUT_AMBIENT.substitute(PYTHON=sys.executable, RUNC=runc), 'utf-8',
    )
    kubernetes.chmod(0o755)


def driver(place: Path) -> str:
    """Return how images are stored: overlay, but not on top of another overlay."""
    kind = subprocess.run(
        ('stat', '--file-system', '--format=%T', place), check=True, text=True,
        stdout=subprocess.PIPE,
    ).stdout.strip()
    return 'vfs' if kind == 'overlayfs' else 'overlay'


def known(events: Path) -> set[str]:
    """Return the names of all containers and pods that podman has had, by its log."""
    if not events.exists():
        return set()
    # The last line may be cut: anyone who wrote it has been killed.
    return set(re.findall('"ID":"([0-9a-f]{64})"', events.read_text('utf-8')))


def remove_cgroups(names: set[str]) -> None:
    """Remove the cgroups of containers and pods that have ended."""
    for parent in (*CGROUPS.glob('libpod_parent'), *CGROUPS.glob('*/libpod_parent')):
        ours = [
            Path(place) for place, _, _ in os.walk(parent, topdown=False)
            if Path(place).name.rpartition('-')[2] in names
        ]
        # Others may have theirs there: what is not empty stays.
        for place in (*ours, parent / 'conmon', parent):
            with contextlib.suppress(OSError):
                place.rmdir()


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """Give a machine that has all images."""
    with images() as shared, tempfile.TemporaryDirectory(prefix='podman-') as place:
        made = Machine(Path(place), shared)
        try:
            yield made
        finally:
            made.end()


@contextlib.contextmanager
def images() -> Iterator[Path]:
    """Give the place of a machine that has all images, and runs no more.

    The workers of a session share one: the first to come makes it, and the last to
    go removes it.
    """
    session = os.environ.get('PYTEST_XDIST_TESTRUNUID', str(os.getpid()))
    place = Path(tempfile.gettempdir(), f'podman-images-{session}')
    image = fetched('pollreload.tar', 'get-image.sh')
    base = fetched('base.tar', 'get-base.sh')
    with alone():
        fill(place, image, base)
        # Who uses it holds a lock on it.
        user = os.open(place, os.O_RDONLY)
        fcntl.flock(user, fcntl.LOCK_SH)
    try:
        yield place
    finally:
        with alone(), contextlib.suppress(BlockingIOError):
            fcntl.flock(user, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(place)
        os.close(user)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Keep all others from making images or removing them."""
    with open(TOOLS / 'podman.lock', 'ab') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fill(place: Path, image: Path, base: Path) -> None:
    """Make the place with the images, if there is none."""
    if place.exists():
        return
    place.mkdir(0o700)
    try:
        first = Machine(place, None)
        try:
            first.run('load', '--quiet', f'--input={image}')
            first.run('import', '--quiet', f'--change=ENV=PATH={PATH}', str(base), BASE)
            # The one that holds a pod together podman makes itself, for the first.
            first.run('pod', 'create', '--network=none', 'first')
            first.run('pod', 'rm', 'first')
        finally:
            first.end()
    except BaseException:
        shutil.rmtree(place)
        raise


class ContainerTarget:
    """tests/sandbox/app.py in a container, ready.

    args: more of what podman run is asked for.
    """

    def __init__(self, machine: Machine, files: Path, uid: int, *args: str) -> None:
        self.machine, self.name = machine, f'app-{uid}'
        self.child = machine.start(
            'run', '--rm', '--network=none', f'--name={self.name}',
            f'--user={uid}:{uid}', f'--volume={files}:{CONFIG}:ro',
            f'--volume={program(machine)}:/app.py:ro', *args,
            BASE, 'python3', '/app.py', 'app', f'{CONFIG}/{changes.PLAIN}',
        )
        assert self.child.stdout is not None
        self.lines = Lines(self.child.stdout.fileno())
        try:
            self.lines.until('ready')
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Kill it, if it still runs."""
        end(self.machine, self.name, self.child)


def untold(machine: Machine, lines: Mapping[str, Lines]) -> bool:
    """Whether apps have said nothing since the last line of each that was read.

    lines: of which container.
    """
    machine.run('kill', '--signal=USR1', *lines)
    return all(each.read() == 'marked' for each in lines.values())


class Watch(Sidecar):
    """pollreload watch in a container, of which the events are read as it runs."""

    def __init__(
            self, machine: Machine, name: str, child: subprocess.Popen[bytes],
    ) -> None:
        super().__init__(child, namespace=False)
        self.machine, self.name = machine, name

    def __enter__(self) -> Watch:
        return self

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.machine.run('kill', f'--signal={int(number)}', self.name)

    def end(self) -> None:
        """Kill it, if it still runs."""
        end(self.machine, self.name, self.child)

    def until(self, name: str, **fields: object) -> Event:
        """As that of Sidecar, with a deadline for all of it: polls are lines too."""
        end = time.monotonic() + DEADLINE
        while True:
            for got in self.seen[self.found:]:
                self.found += 1
                if got['event'] == name and fields.items() <= got.items():
                    return got
            assert time.monotonic() < end, f'no {name} {fields}: {self.seen}'
            assert self.read(), f'it ended without {name} {fields}: {self.seen}'

    def polls(self, count: int = 3) -> None:
        """Read on over some more polls; it has to be started with -v."""
        self.status()
        self.found = len(self.seen)
        for _ in range(count):
            self.until('polled')


def end(machine: Machine, name: str, child: subprocess.Popen[bytes]) -> None:
    """Remove a container, whatever state it is in, and let who reads of it end."""
    machine.run('rm', '--force', '--time=0', name, check=False)
    child.communicate(timeout=DEADLINE)


def program(machine: Machine) -> Path:
    """Return a copy of the app that everybody may read, wherever the checkout is."""
    copy = machine.place / 'app.py'
    if not copy.exists():
        shutil.copyfile(APP, copy)
    return copy
