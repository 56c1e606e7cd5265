"""The init of a User-Mode Linux that is NFS server and client at once.

nfs_test.py boots it; environment variables from the kernel's command line say
what it does: NFS_CASE is one of CASES, NFS_OPTIONS are the client's of
mount.nfs. It says on the console what it saw, a JSON object a line: `fact` and
fields, at last `done` or `failed`. The host judges, and ends the guest.

The host's root is the guest's, by hostfs and read-only, under an overlay that
takes what is written: so the checkout and its interpreter are used in place.
"""
from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.sandbox import changes
from tests.sandbox.harness import APP, TOOLS, Lines, inotifywait, walk
from tests.support.sidecar import POLLRELOAD, Sidecar, environment, watch

SERVED, MOUNTED = '/served', '/mounted'
NAME = 'app'
LOCAL, LEDGER = '/local.conf', '/ledger'  # beside the mount
PAUSE = 0.25  # s between two polls that are asked for
UNSEEN = 150.0  # s that a change may stay unseen, with any options
LATE = 40.0  # s after which a program or the app has nothing to say
STUCK = 15.0  # s after which what has not ended will not
POLLS = 24  # that are counted for their cost, 5 s apart
# What others do to files: our own reading is seen by inotify as well.
EVENTS = 'modify,attrib,close_write,move,create,delete'
FINIT_MODULE = 313  # x86_64
POWER_OFF = 0x4321FEDC  # reboot(2)
SECONDS = 10  # the shortest lease and grace that nfsd takes


def say(fact: str, **fields: object) -> None:
    """Write a fact to the console."""
    print(json.dumps({'fact': fact, **fields}), flush=True)


def run_program(*args: str) -> None:
    """Run a program of the guest.

    Raises AssertionError if it fails, TimeoutExpired if it hangs.
    """
    done = subprocess.run(
        args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False, text=True, timeout=LATE,
    )
    assert not done.returncode, f'{args}: {done.returncode} {done.stdout}'


def put(path: str, text: str) -> None:
    """Write to a file that is there, as most of /proc wants it."""
    with open(path, 'w', encoding='ascii') as file:
        file.write(text)


def load(*names: str) -> None:
    """Load modules of the kernel, and before them what they depend on.

    modprobe would look in /lib/modules. Raises OSError.
    """
    home = TOOLS / 'uml' / 'usr' / 'lib' / 'uml' / 'modules' / os.uname().release
    depends = {}
    for line in (home / 'modules.dep').read_text('ascii').splitlines():
        module, _, others = line.partition(':')
        depends[Path(module).stem] = [*reversed(others.split()), module]
    libc = ctypes.CDLL(None, use_errno=True)
    for module in (module for name in names for module in depends[name]):
        with open(home / module, 'rb') as file:
            failed = libc.syscall(FINIT_MODULE, file.fileno(), b'', 0)
            if failed and ctypes.get_errno() != errno.EEXIST:
                raise OSError(ctypes.get_errno(), module)


def settle() -> None:
    """Make a system of the bare root: one that can be written, with its own /proc."""
    tools = TOOLS / 'nfs'
    os.environ.update({
        'LD_LIBRARY_PATH': ':'.join(
            str(tools / place / 'x86_64-linux-gnu') for place in ('lib', 'usr/lib')
        ),
        'PATH': f'{tools}/sbin:{tools}/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin',
    })
    load('overlay')
    run_program('mount', '-n', '-t', 'tmpfs', 'tmpfs', '/mnt')
    for name in ('upper', 'work', 'root'):
        os.mkdir(f'/mnt/{name}')
    run_program('mount', '-n', '-t', 'overlay', 'overlay', '/mnt/root', '-o',
        'lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work')
    os.chroot('/mnt/root')
    os.chdir('/')
    for kind, where in (
            ('proc', '/proc'), ('sysfs', '/sys'), ('devtmpfs', '/dev'),
            ('tmpfs', '/run'),
    ):
        run_program('mount', '-t', kind, kind, where)
    run_program('ip', 'link', 'set', 'lo', 'up')
    load('nfsd', 'nfsv3', 'nfsv4')


def old(options: str) -> bool:
    """Return whether options ask for NFS 3, which takes rpcbind and a whole path."""
    return 'vers=3' in options


def server(options: str, threads: int) -> None:
    """Have the server run with so many threads; with none it does not answer.

    No one has to reclaim anything after a start: it ends its grace at once, for an open
    would wait for that.
    """
    run_program('rpc.nfsd', *(() if old(options) else ('-N', '3')), str(threads))
    if threads:
        put('/proc/fs/nfsd/v4_end_grace', 'Y')


def delegate(whether: bool) -> None:
    """Have the server delegate files: call the client back before one changes.

    Not by default. A client takes up again what a server that was away had delegated to
    it, and then no one there sees what changed in the meantime.
    """
    put('/proc/sys/fs/leases-enable', str(int(whether)))


def share(options: str) -> None:
    """Serve SERVED, and mount it at MOUNTED with options as mount.nfs has them."""
    for name in ('v4recovery', 'sm', 'sm.bak'):
        os.makedirs(f'/var/lib/nfs/{name}', exist_ok=True)
    for name in ('etab', 'rmtab'):
        Path(f'/var/lib/nfs/{name}').touch()
    for place in (SERVED, MOUNTED):
        os.mkdir(place)
    run_program('mount', '-t', 'tmpfs', 'served', SERVED)
    run_program('mount', '-t', 'nfsd', 'nfsd', '/proc/fs/nfsd')
    for name in ('lease', 'grace'):
        put(f'/proc/fs/nfsd/nfsv4{name}time', str(SECONDS))
    if old(options):
        with open('/etc/passwd', 'a', encoding='ascii') as file:
            # rpcbind becomes that user, and its package is not installed.
            file.write('_rpc:x:399:65534::/run/rpcbind:/usr/sbin/nologin\n')
        run_program('rpcbind')
    run_program(
        'exportfs', '-i', '-o', 'rw,no_root_squash,no_subtree_check,insecure,fsid=0',
        f'127.0.0.1:{SERVED}',
    )
    delegate(False)
    server(options, 2)
    run_program('rpc.mountd', *(() if old(options) else ('-N', '3')))
    path = SERVED if old(options) else '/'
    run_program('mount.nfs', f'127.0.0.1:{path}', MOUNTED, '-o', options)
    with open('/proc/mounts', encoding='ascii') as file:
        say('mounted', line=next(line for line in file if f' {MOUNTED} ' in line))


class Place(NamedTuple):
    """A directory with its files: its path on the server, and on the client."""

    served: str
    mounted: str
    plain: str
    linked: str


def served_directory(name: str) -> Place:
    """Make a directory on the server, and its files."""
    served, mounted = os.path.join(SERVED, name), os.path.join(MOUNTED, name)
    os.mkdir(served)
    changes.lay(served, changes.text(0))
    plain, linked = (
        os.path.join(mounted, file) for file in (changes.PLAIN, changes.LINKED)
    )
    return Place(served, mounted, plain, linked)


@contextlib.contextmanager
def app(name: str, *paths: str) -> Iterator[tuple[Lines, int]]:
    """Run a program that is notified; give what it says, and its pid."""
    child = subprocess.Popen(
        [sys.executable, str(APP), name, *paths], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        lines = Lines(child.stdout.fileno())
        lines.until('ready')
        yield lines, child.pid
    finally:
        child.kill()
        child.communicate()


def polled(sidecar: Sidecar) -> None:
    """Have a watch poll, and return when that is over, with all that it did."""
    sidecar.send(signal.SIGHUP)
    sidecar.until('polled')
    sidecar.status()


def until(
        sidecar: Sidecar, event: str, count: int, deadline: float,
) -> dict[str, object]:
    """Have a watch poll until it has said an event so often; return how long it took.

    Raises AssertionError at the deadline, in seconds. polls: how many it took. late:
    the seconds from now to the beginning of the last poll that did not see it, 0.0 if
    the first one did. said: what it said meanwhile.
    """
    began, before = time.monotonic(), len(sidecar.seen)
    polls, late = 0, 0.0
    while True:
        at = time.monotonic() - began
        polled(sidecar)
        polls += 1
        if sidecar.count(event) >= count:
            said = [str(event['message']) for event in sidecar.seen[before:]]
            return {'polls': polls, 'late': late, 'said': said}
        assert at < deadline, f'not within {deadline} s: {sidecar.seen[-3:]}'
        late = at
        select.select([], [], [], PAUSE)


def rest(sidecar: Sidecar, seconds: float) -> None:
    """Have a watch poll for a while: the longer nothing changes, the longer the
    client believes what it has (nfs(5), acregmax and acdirmax).
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        polled(sidecar)
        select.select([], [], [], 1.0)


def turned(directory: str, text: str) -> None:
    """Let ..data lead to a new directory, and leave the old one there."""
    os.mkdir(os.path.join(directory, '..three'))
    changes.write(os.path.join(directory, '..three', changes.LINKED), text)
    os.symlink('..three', os.path.join(directory, '..data_tmp'))
    os.rename(
        os.path.join(directory, '..data_tmp'), os.path.join(directory, '..data'),
    )


def gone(directory: str, text: str) -> None:
    """Remove the file."""
    os.remove(os.path.join(directory, changes.PLAIN))


# What is gone was looked for when it comes back, so that the client knows that.
STEPS: Mapping[str, Callable[[str, str], None]] = {
    **changes.KINDS, 'turned': turned, 'gone': gone, 'back': changes.in_place,
}


def delays(quiet: float, deadline: float) -> None:
    """Say for each kind of change how late a poll may still miss it.

    quiet: seconds without a change before each.
    deadline: seconds for each.
    """
    here = served_directory('delays')
    with (
            app(NAME, here.plain, here.linked) as (lines, _),
            # No poll but those that are asked for, and none that reads all again.
            watch(
                '--process', NAME, '-v', '--interval', '24h', '--rehash', '8760h',
                here.plain, here.linked,
            ) as sidecar,
    ):
        sidecar.until('polled')
        for number, kind in enumerate(STEPS, 1):
            rest(sidecar, quiet)
            event = 'unreadable' if kind == 'gone' else 'signalled'
            before, text = sidecar.count(event), changes.text(number)
            STEPS[kind](here.served, text)
            took = until(sidecar, event, before + 1, deadline)
            line = '' if kind == 'gone' else lines.read(LATE)
            say('delay', kind=kind, line=line, text=text.strip(), **took)
            if line:
                sidecar.until('delivered')


def changed(options: str) -> None:
    """Walk through the changes: as they are delivered, and what inotify says of them.
    """
    # Quiet for longer than it takes to believe what stat says, if that were done.
    delays(3.0, LATE)
    delegate(True)
    where = served_directory('walk')
    with (
            app(NAME, where.plain, where.linked) as (lines, pid),
            inotifywait(Path(where.served), events=EVENTS) as there,
            inotifywait(Path(where.mounted), events=EVENTS) as here,
            watch(
                '--process', NAME, '-v', '--interval', '500ms', '--settle', '200ms',
                where.plain, where.linked,
            ) as sidecar,
    ):
        sidecar.until('baseline')
        took = walk(Path(where.served), lines.read, LATE)
        for kind, seconds in took.items():
            say('reloaded', kind=kind, seconds=seconds)
        for _ in changes.KINDS:
            sidecar.until('delivered')
        # What came twice would have come with these.
        for _ in range(2):
            sidecar.until('polled')
        told_nothing(lines, pid)
        say('signalled', count=sidecar.count('signalled'))
        # Each inotifywait says this last, and proves that it can say anything.
        changes.write(os.path.join(where.mounted, 'last'), 'last\n')
        for events in (here, there):
            events.until(' CREATE last')
        say('inotify', here=here.seen, there=there.seen)


def ended(sidecar: Sidecar, what: str) -> None:
    """Ask a watch to stop, and say what came of that; status null: it did not."""
    began = time.monotonic()
    sidecar.send(signal.SIGTERM)
    try:
        status: int | None = sidecar.child.wait(STUCK)
    except subprocess.TimeoutExpired:
        status = None
    seconds = time.monotonic() - began
    waits = '' if status is not None else waiting(sidecar.pid)
    say('ended', what=what, status=status, seconds=seconds, waits=waits)


def waiting(pid: int) -> str:
    """Return the place where in the kernel a process waits, the innermost first
    (proc(5)).
    """
    try:
        stack = Path(f'/proc/{pid}/stack').read_text('ascii')
    except OSError as error:
        return str(error)
    return ' '.join(re.findall(r'(\w+)\+', stack))


def asleep() -> Iterator[str]:
    """Yield the processes that wait for something that is no signal, and for what."""
    for pid in filter(str.isdecimal, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            stat = Path(f'/proc/{pid}/stat').read_text('ascii')
            if stat.rpartition(')')[2].split()[0] == 'D':
                yield f'{stat.rpartition(")")[0]}): {waiting(int(pid))}'


def ran(what: str, *args: str) -> None:
    """Run pollreload, and say what came of that; status null: it did not end."""
    began = time.monotonic()
    child = subprocess.Popen(
        [*POLLRELOAD, *args], env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    try:
        _, said = child.communicate(timeout=STUCK)
        status: int | None = child.returncode
    except subprocess.TimeoutExpired:
        said, status = waiting(child.pid).encode(), None
        child.kill()
        child.communicate()
    say('ran', what=what, status=status, seconds=time.monotonic() - began,
        said=said.decode())


def hung(options: str) -> None:
    """Stop the server under watches and checks of its files, and start it again."""
    here = served_directory('conf')
    often = ('--process', NAME, '--interval', '200ms')
    with (
            app(NAME, here.plain) as (lines, pid),
            watch(*often, here.plain) as stays,
            watch(*often, here.plain) as ends,
    ):
        for sidecar in (stays, ends):
            sidecar.until('baseline')
        server(options, 0)
        changes.in_place(here.served, changes.text(1))
        for sidecar in (stays, ends):
            say('stalled', message=sidecar.until('stalled')['message'])
        ended(ends, 'a read hangs')
        ran('check', 'check', '--process', NAME, '--timeout', '5s',
            '--log-format', 'json', '--state-file', LEDGER, here.plain)
        told_nothing(lines, pid)
        server(options, 2)
        say('back', line=lines.read(LATE), text=changes.text(1).strip())
        stays.until('delivered')
        told_nothing(lines, pid)
        say('seen', events=[event['event'] for event in stays.seen])
        ended(stays, 'the server is back')


def told_nothing(lines: Lines, pid: int) -> None:
    """Report what the app says next, after it was asked to say something."""
    os.kill(pid, signal.SIGUSR1)
    say('next', line=lines.read(LATE))


def kept(options: str) -> None:
    """Stop the server under ledgers, and start it again."""
    here = served_directory('conf')
    changes.write(LOCAL, changes.text(0))
    often = ('--process', NAME, '--interval', '200ms')
    ledgers = {name: os.path.join(MOUNTED, name, 'ledger') for name in 'abcd'}
    with (
            app(NAME, here.plain, LOCAL) as (lines, _),
            watch(*often, '--state-file', ledgers['a'], here.plain) as stays,
            watch(*often, '--state-file', ledgers['b'], here.plain) as reads,
            app('other', LOCAL) as (others, _),
            watch('--process', 'other', '--interval', '200ms', '--state-file',
                  ledgers['c'], LOCAL) as saves,
    ):
        for sidecar in (stays, reads, saves):
            sidecar.until('baseline')
        server(options, 0)
        changes.in_place(here.served, changes.text(1))

        changes.write(LOCAL, changes.text(1))
        say('beside', line=others.read(LATE), text=changes.text(1).strip())
        # It now writes down what it has done.
        saves.until('delivered')
        ended(saves, 'a save hangs')

        reads.until('stalled')
        ended(reads, 'a read hangs')
        ran('check', 'check', '--process', NAME, '--state-file', ledgers['d'], LOCAL)
        ran('check --dry-run', 'check', '--process', NAME, '--dry-run', '--timeout',
            '5s', '--state-file', ledgers['d'], LOCAL)
        ran('doctor', 'doctor', '--process', NAME, '--state-file', ledgers['d'], LOCAL)

        stays.until('stalled')
        server(options, 2)
        say('back', line=lines.read(LATE), text=changes.text(1).strip())
        stays.until('delivered')
        # It is written before the answer to this.
        stays.status()
        with open(os.path.join(SERVED, 'a', 'ledger'), encoding='ascii') as file:
            say('ledger', text=file.read(), fingerprint=next(
                event['fingerprint'] for event in stays.seen
                if event['event'] == 'changed'
            ))
        ended(stays, 'the server is back')


def bounds(options: str) -> None:
    """Say how late a change may be seen, after a time in which nothing changed."""
    delegate(bool(os.environ['NFS_DELEGATIONS']))
    delays(float(os.environ['NFS_QUIET']), UNSEEN)


def operations() -> Counter[str]:
    """Return how often the client has asked the server for what (mountstats)."""
    with open('/proc/self/mountstats', encoding='ascii') as file:
        _, _, ours = file.read().partition(f' mounted on {MOUNTED} ')
    lines = ours.partition('per-op statistics')[2].partition('\ndevice')[0]
    fields = (line.split() for line in lines.splitlines() if ':' in line)
    return Counter({field[0].rstrip(':'): int(field[1]) for field in fields})


def cost(options: str) -> None:
    """Report what a poll asks the server for, where nothing changes."""
    here = served_directory('conf')
    delegate(bool(os.environ['NFS_DELEGATIONS']))
    with watch('--process', NAME, '-v', '--interval', '5s', here.plain) as sidecar:
        for _ in range(POLLS):
            sidecar.until('polled')
        before = operations()
        for _ in range(POLLS):
            sidecar.until('polled')
        say('cost', polls=POLLS, operations=operations() - before)


CASES: Mapping[str, Callable[[str], None]] = {
    'bounds': bounds, 'changed': changed, 'cost': cost, 'hung': hung, 'kept': kept,
}


def main() -> None:
    """Be the guest, from its first process to its end."""
    try:
        settle()
        options = os.environ['NFS_OPTIONS']
        share(options)
        CASES[os.environ['NFS_CASE']](options)
        say('done')
    except BaseException:  # noqa: BLE001
        # The end of the first process would be a panic, and say less.
        say('failed', message='\n'.join((traceback.format_exc(), *asleep())))
    ctypes.CDLL(None).reboot(POWER_OFF)


if __name__ == '__main__':
    main()
