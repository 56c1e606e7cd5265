"""A pod in gVisor: one sandbox, and containers in it, as a kubelet has runsc make it.

The containers of a pod have one kernel, gVisor's, and here also see each other's
processes. Of the flags none bears on what is tested: a volume is mounted as it is by
default (shared with anyone who changes it outside), and systrap is the platform that
needs neither KVM nor ptrace.

What a Pod starts ends with it: containers, sandbox and gofers.
"""
from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.sandbox import changes
from tests.sandbox.harness import APP, DEADLINE, Lines, fetched
from tests.servers.harness import missing, until
from tests.support.sidecar import Event, Sidecar

FLAGS = ('--platform=systrap', '--network=none', '--ignore-cgroups')
NOBODY = 65532
CONFIG, LEDGER = '/config', '/ledger'  # the mount points of the volumes
WATCHED = tuple(f'{CONFIG}/{name}' for name in (changes.PLAIN, changes.LINKED))
# By these annotations of containerd runsc knows the sandbox from the containers.
KIND = 'io.kubernetes.cri.container-type'
POD = 'io.kubernetes.cri.sandbox-id'


class Container(NamedTuple):
    """What a container is made of; its root file system is read-only.

    mounts: where -> what of this machine, '' for a tmpfs; writable: which of
        them may be written.
    capabilities: those that it keeps. shared: it sees the processes of the pod.
    """

    root: Path
    args: tuple[str, ...]
    uid: int = NOBODY
    mounts: tuple[tuple[str, str], ...] = ()
    writable: tuple[str, ...] = ('/tmp', LEDGER)
    capabilities: tuple[str, ...] = ()
    shared: bool = True


class GvisorPod:
    """A sandbox that runs, whose first container does nothing; ended by close().

    place: where all is that it needs; config: the volume that changes.
    pid: of the sandbox, as this machine counts.
    """

    def __init__(self) -> None:
        self.runsc = fetched('runsc', 'get-runsc.sh')
        self.base = fetched('base', 'get-base.sh')
        self.image = fetched('rootfs', 'get-image.sh')
        if os.geteuid():
            missing('runsc is to be run as root')
        self.place = Path(tempfile.mkdtemp(prefix='pollreload-gvisor-'))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.pid = 0
        try:
            self.fill()
            self.begin()
        except BaseException:
            self.close()
            raise

    def fill(self) -> None:
        """Make the volumes, and what is mounted from beside them."""
        self.config = self.place / 'config'
        self.config.mkdir()
        changes.lay(str(self.config), changes.text(0))
        (self.place / 'ledger').mkdir(0o700)
        os.chown(self.place / 'ledger', NOBODY, NOBODY)
        # A copy: everybody may read it, wherever the checkout is.
        shutil.copyfile(APP, self.place / 'app.py')
        (self.place / 'app.py').chmod(0o644)
        self.config.chmod(0o755)

    def begin(self) -> None:
        """Start the sandbox with its first container, which holds it open."""
        self.write('pause', Container(self.base, ('sleep', 'infinity')), {
            KIND: 'sandbox',
        }, '')
        # It lives on with what it is given: no pipe of pollreload.
        with open(self.place / 'pause.log', 'wb') as log:
            status = subprocess.call(
                self.command('run', '--detach', '--bundle', 'pause', 'pause'),
                cwd=self.place, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                timeout=DEADLINE,
            )
        assert not status, (self.place / 'pause.log').read_text()
        said = json.loads(self.call('state', 'pause').stdout)
        self.pid = int(said['pid'])

    def command(self, *args: str) -> list[str]:
        """Return a call of runsc."""
        return [str(self.runsc), '--root', str(self.place / 'state'), *FLAGS, *args]

    def call(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Call runsc and wait for it."""
        done = subprocess.run(
            self.command(*args), cwd=self.place, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=DEADLINE, check=False,
        )
        assert not (check and done.returncode), f'{args}: {done.stderr}'
        return done

    def write(
            self, name: str, made: Container, annotations: dict[str, str], pids: str,
    ) -> None:
        """Write the bundle of a container (OCI runtime specification, config.md).

        pids: the path of its pid namespace, '' for a new one.
        """
        kept = list(made.capabilities)
        namespaces = [{'type': kind} for kind in ('mount', 'ipc', 'uts', 'network')]
        namespaces.append({'type': 'pid', 'path': pids} if pids else {'type': 'pid'})
        mounts: list[dict[str, object]] = [
            {'destination': '/proc', 'type': 'proc', 'source': 'proc'},
        ]
        for target, source in made.mounts:
            mounts.append({
                'destination': target, 'type': 'bind' if source else 'tmpfs',
                'source': source or 'tmpfs', 'options': [
                    *(['rbind'] if source else []),
                    'rw' if target in made.writable else 'ro',
                ],
            })
        (self.place / name).mkdir(exist_ok=True)
        (self.place / name / 'config.json').write_text(json.dumps({
            'ociVersion': '1.0.0', 'hostname': 'pod',
            'root': {'path': str(made.root.resolve()), 'readonly': True},
            'process': {
                'user': {'uid': made.uid, 'gid': made.uid}, 'cwd': '/',
                'args': list(made.args), 'noNewPrivileges': True,
                'env': ['PATH=/usr/local/bin:/usr/bin:/bin'],
                # containerd gives none that are ambient or inheritable.
                'capabilities': dict.fromkeys(
                    ('bounding', 'effective', 'permitted'), kept,
                ),
            },
            'mounts': mounts, 'annotations': annotations,
            'linux': {'namespaces': namespaces},
        }), encoding='ascii')

    def start(self, name: str, made: Container) -> subprocess.Popen[bytes]:
        """Start a container; what it says is in the pipes of what is returned."""
        pids = f'/proc/{self.pid}/ns/pid' if made.shared else ''
        self.write(name, made, {KIND: 'container', POD: 'pause'}, pids)
        self.running[name] = subprocess.Popen(
            self.command('run', '--bundle', name, name), cwd=self.place,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        return self.running[name]

    def send(self, name: str, number: int) -> None:
        """Send a signal to a container's first process."""
        self.call('kill', name, str(int(number)))

    def remove(self, name: str) -> int:
        """End a container, if it still runs; return its exit status."""
        child = self.running.pop(name)
        try:
            if child.poll() is None:
                self.call('kill', name, 'KILL', check=False)
                child.wait(DEADLINE)
        finally:
            self.call('delete', '--force', name, check=False)
            child.kill()
            child.wait(DEADLINE)
            for pipe in (child.stdout, child.stderr):
                assert pipe is not None
                pipe.close()
        return child.returncode

    def close(self) -> None:
        """End everything."""
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.place)
            if (self.place / 'state').exists():
                stack.callback(self.halt)
            for name in self.running:
                stack.callback(self.remove, name)

    def halt(self) -> None:
        """End the sandbox."""
        self.call('delete', '--force', 'pause', check=False)
        if self.pid:
            until(lambda: not os.path.exists(f'/proc/{self.pid}'), 'no sandbox')

    def app(self, name: str, uid: int = NOBODY) -> App:
        """Start the program that is notified, and return it when it is ready."""
        return App(self, name, self.start(name, Container(
            self.base, ('python3', '/app.py', name, *WATCHED), uid, (
                (CONFIG, str(self.config)), ('/app.py', str(self.place / 'app.py')),
            ),
        )))

    def sidecar(
            self, *args: str, uid: int = NOBODY, capabilities: tuple[str, ...] = (),
            shared: bool = True,
    ) -> Container:
        """Return the container of a pollreload, from its image as it is."""
        return Container(self.image, ('pollreload', *args), uid, (
            (CONFIG, str(self.config)), (LEDGER, str(self.place / 'ledger')),
        ), capabilities=capabilities, shared=shared)

    def watch(self, made: Container) -> Watch:
        """Start a watch; its arguments have to ask for JSON."""
        return Watch(self, 'sidecar', self.start('sidecar', made))

    def once(self, made: Container) -> tuple[int, str, str]:
        """Run a container to its end; return its status, stdout and stderr."""
        child = self.start('once', made)
        try:
            out, err = child.communicate(timeout=DEADLINE)
        finally:
            self.remove('once')
        return child.returncode, out.decode(), err.decode()

    @contextlib.contextmanager
    def inotifywait(self) -> Iterator[Lines]:
        """Have inotifywait watch the configuration, and give what it says of it.

        It runs in a container, which can also write there; see touch.
        """
        child = self.start('inotify', Container(self.base, (
            'inotifywait', '--monitor', '--recursive', CONFIG,
        ), 0, ((CONFIG, str(self.config)),), writable=(CONFIG,)))
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            Lines(child.stderr.fileno()).until('Watches established')
            yield Lines(child.stdout.fileno())
        finally:
            self.remove('inotify')

    def touch(self, name: str) -> None:
        """Make a file where inotifywait runs, from inside."""
        self.call('exec', 'inotify', 'touch', f'{CONFIG}/{name}')


class App:
    """tests/sandbox/app.py in a container, ready."""

    def __init__(
            self, pod: GvisorPod, name: str, child: subprocess.Popen[bytes],
    ) -> None:
        assert child.stdout is not None
        self.pod, self.name, self.lines = pod, name, Lines(child.stdout.fileno())
        self.lines.until('ready')

    def untold(self) -> bool:
        """Whether nothing was said since the last line that was read."""
        self.pod.send(self.name, signal.SIGUSR1)
        return self.lines.read() == 'marked'

    def end(self) -> None:
        """Kill it."""
        self.pod.remove(self.name)


class Watch(Sidecar):
    """pollreload watch in a container."""

    def __init__(
            self, pod: GvisorPod, name: str, child: subprocess.Popen[bytes],
    ) -> None:
        super().__init__(child, namespace=False)
        self.pod, self.name = pod, name

    def __enter__(self) -> Watch:
        return self

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.pod.send(self.name, number)

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self.name in self.pod.running:
            self.pod.remove(self.name)

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


@contextlib.contextmanager
def started() -> Iterator[GvisorPod]:
    """Give a pod, and end it."""
    pod = GvisorPod()
    try:
        yield pod
    finally:
        pod.close()

