"""Run-times that catch every signal, and die of HUP all the same."""
from __future__ import annotations

import itertools
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pollreload.system import signal_masks
from tests.support import targets
from tests.support.delivering import ended, watching
from tests.support.sidecar import watch, write

JAVA = shutil.which('java')
GO = shutil.which('gron')


def go(link: Path) -> subprocess.Popen[bytes]:
    """Start a program that is written in Go and waits for its stdin.

    link: a link to it, whose name it then goes by.
    """
    return subprocess.Popen([link], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


def java(source: Path) -> subprocess.Popen[bytes]:
    """Start a JVM that says ready and waits for its stdin."""
    assert JAVA
    source.write_text(
        'class Wait { public static void main(String[] a) throws Exception {'
        ' System.out.println("ready"); System.in.read(); } }', encoding='ascii',
    )
    return subprocess.Popen(
        [JAVA, '-Xint', '-XX:+UseSerialGC', str(source)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )


def expected(program: str | None, where: str) -> pytest.MarkDecorator:
    """Skip a test if there is no such program; in CI that is a failure."""
    return pytest.mark.skipif(
        program is None and not os.environ.get('CI'), reason=f'needs {where}',
    )


@expected(GO, "gron, a small Go program, of Debian's package gron")
def test_go_program_that_dies_is_signalled_once(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """Go catches every signal; one death shows that the program handles none of it.

    Until pollreload gets SIGHUP, no other process of that program file is killed.
    """
    link = tmp_path / name
    link.symlink_to(str(GO))
    with watching(name, conf, '--interval', '20ms', '--survive', '400ms') as it:
        with ended(go(link)) as child:
            settled(child.pid)
            write(conf, 'content of the first')
            signalled = it.until(
                'signalled', target_pid=child.pid, disposition='runtime',
            )
            assert child.wait(targets.DEADLINE) != 0
            it.until('failed', target_pid=child.pid, reason='died')
        with ended(go(link)) as child:
            settled(child.pid)
            write(conf, 'content for the second')
            held = it.until('held', reason='breaker')
            assert child.poll() is None
            it.poll()
            it.until('signalled', target_pid=child.pid)

    assert 'its language runtime catches every signal' in signalled['message']
    assert held['message'].startswith(f'the runtime of {name} catches SIGHUP, and the ')
    assert it.count('delivered') == 0


@pytest.mark.skipif(JAVA is None, reason='needs a JVM')
def test_jvm_dies_and_that_is_reported(conf: str, tmp_path: Path) -> None:
    """The JVM catches HUP and runs its shutdown hooks: an end, and no reload."""
    pidfile = tmp_path / 'java.pid'
    with (
        ended(java(tmp_path / 'Wait.java')) as child,
        watch('--pidfile', str(pidfile), '--survive', '2s', conf) as it,
    ):
        it.until('baseline')
        assert child.stdout is not None
        assert child.stdout.readline() == b'ready\n'
        pidfile.write_text(str(child.pid), encoding='ascii')
        write(conf, 'second')
        it.poll()
        it.until('signalled', target_pid=child.pid, disposition='runtime')
        failed = it.until('failed')

    assert failed['reason'] == 'died'
    assert it.count('delivered') == 0


def bash(link: Path, *traps: str) -> subprocess.Popen[bytes]:
    """Start a bash script with these traps, which writes a line at each HUP."""
    lines = [*(f"trap 'echo {each}' {each}" for each in traps), 'echo ready']
    link.symlink_to(str(shutil.which('bash')))
    return subprocess.Popen(
        [link, '-c', '; '.join([*lines, 'while :; do sleep 0.1; done'])],
        stdout=subprocess.PIPE,
    )


def test_bash_with_a_trap_is_a_program_with_a_handler(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """Without a trap for EXIT, bash catches what the script has traps for."""
    with (
        watching(name, conf, '--interval', '20ms', '--survive', '400ms') as it,
        ended(bash(tmp_path / name, 'HUP', 'QUIT', 'TERM')) as child,
    ):
        assert child.stdout is not None
        assert child.stdout.readline() == b'ready\n'
        write(conf, 'second')
        signalled = it.until('signalled', target_pid=child.pid, disposition='caught')
        it.until('delivered', target_pid=child.pid)

        assert child.stdout.readline() == b'HUP\n'
    assert 'runtime' not in signalled['message']


def test_bash_with_a_trap_for_exit_may_die_of_any_signal(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """It catches HUP to run that trap, and ends, so its mask proves no handler."""
    with (
        watching(name, conf, '--interval', '20ms', '--survive', '400ms') as it,
        ended(bash(tmp_path / name, 'EXIT')) as child,
    ):
        assert child.stdout is not None
        assert child.stdout.readline() == b'ready\n'
        write(conf, 'second')
        it.until('signalled', target_pid=child.pid, disposition='runtime')
        it.until('failed', target_pid=child.pid, reason='died')

        assert child.stdout.readline() == b'EXIT\n'


def test_bash_wrapper_with_a_trap_for_exit_is_passed_over_for_its_child(
        name: str, conf: str, tmp_path: Path,
) -> None:
    """The wrapper has the name of the program that it runs, and would die of HUP."""
    link = tmp_path / name
    link.symlink_to(str(shutil.which('bash')))
    program = shlex.join([sys.executable, targets.__file__, 'handler', name, '0', '0'])
    wrapper = subprocess.Popen(
        [link, '-c', f'trap true EXIT; {program}; true'], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with ended(wrapper), watching(name, conf) as it:
        assert wrapper.stdout is not None
        assert wrapper.stdout.readline() == b'ready\n'
        write(conf, 'second')
        it.poll()
        it.until('signalled', disposition='caught')
        it.until('delivered')
        it.poll()
        it.until('status')

        assert wrapper.stdout.readline() == b'HUP\n'
        assert wrapper.poll() is None
    assert it.count('signalled') == 1


def settled(pid: int) -> None:
    """Wait until a program has started: all its threads sleep, and it catches HUP."""
    for _ in itertools.count():
        masks = signal_masks.masks(pid)
        if masks is not None and masks.caught & 1:
            break
    targets.settle(pid)
