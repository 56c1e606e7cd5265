"""What an idle poll costs."""
from __future__ import annotations

import compileall
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import loaded_modules, sidecar, targets
from tests.support.sidecar import Sidecar, unique, watch, write
from tests.support.system_calls import idle_poll
from tests.support.watching import comm, line_of, watching

STRACE = shutil.which('strace')
CI = os.environ.get('CI')
MOST_MEMORY = 14_500  # kB, of a watch on one file


@pytest.mark.skipif(STRACE is None and not CI, reason='needs strace')
def test_idle_poll_reads_no_directory_and_no_proc(
        conf: str, target: targets.Target, tmp_path: Path,
) -> None:
    """All that a poll without a change opens is the file, and the list of mounts."""
    trace = tmp_path / 'trace'
    with watching(target, conf) as it:
        it.poll()
        with subprocess.Popen(
            (str(STRACE), '-f', '-o', str(trace), '-p', str(it.pid),
             '-e', 'trace=%file,getdents64,%process'),
            stderr=subprocess.PIPE, text=True,
        ) as tracer:
            try:
                assert tracer.stderr is not None
                assert 'attached' in tracer.stderr.readline()
                it.poll()
                it.poll()
            finally:
                tracer.terminate()
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    # stat and readlink say what a path leads to; what is read is opened: by
    # O_PATH, checked, and opened by that descriptor.
    lines = [line for line in lines if '"/proc/self/fd/' not in line]
    opened = {re.findall(r'"(.*?)"', line)[0] for line in lines if 'open' in line[:7]}

    # Each read is an open with O_PATH, and one of that very file by its descriptor.
    assert sum(line.startswith('open') and conf in line for line in lines) == 2
    descriptors = {path for path in opened if path.startswith('/proc/self/fd/')}
    assert opened - descriptors <= {conf, '/proc/self/mountinfo'}
    assert not any(
        '/proc/' in line for line in lines
        if 'mountinfo' not in line and '/proc/self/fd/' not in line
    )
    assert not any(re.match('getdents|clone|fork|vfork|exec', line) for line in lines)


def test_watch_stays_small(conf: str, target: targets.Target) -> None:
    """Nothing that costs memory is imported, and the whole stays under 14.5 MB."""
    # As it is installed: to compile it takes memory that it keeps.
    compileall.compile_dir(os.path.join(sidecar.ROOT, 'pollreload'), quiet=1)
    args = sidecar.quick(
        '--interval', '1h', '--log-format', 'text', '--process', comm(target), conf,
    )
    with loaded_modules.started(*args) as it:
        line_of(it, 'baseline')
        write(conf, 'second')
        it.send(signal.SIGHUP)
        line_of(it, 'delivered')
        with open(f'/proc/{it.pid}/status', encoding='ascii') as status:
            memory = next(int(line.split()[1]) for line in status if 'VmRSS' in line)
        modules = loaded_modules.printed(it)

    assert 'pollreload.commands.watch' in modules
    assert modules.isdisjoint((
        'click', 'json', 'hashlib', '_hashlib', 'logging', 'subprocess', 'tempfile',
        'dataclasses', 'inspect', 'random', 'threading', 'urllib', 'http', 'pathlib',
        'pollreload.cli.main', 'pollreload.system.ledger_file',
        'pollreload.commands.doctor.main', 'pollreload.commands.smoke',
        # Of options that are not set, and of a service manager that is not there.
        'pollreload.core.actions', 'pollreload.core.context',
        'pollreload.monitoring.metrics', 'pollreload.runtime.logfmt',
        'pollreload.runtime.request_files', 'pollreload.runtime.service_manager',
        'pollreload.system.http_request', 'pollreload.system.notify_socket',
    ))
    assert memory < MOST_MEMORY


def test_idle_poll_is_the_same_with_the_options_of_a_delivery(
        conf: str, tmp_path: Path,
) -> None:
    """Neither the pace, nor a command or a request that is not due, has a call."""
    (tmp_path / 'headers').write_text('A: b')
    args = ('--process', unique(), conf)
    plain = idle_poll(tmp_path / 'plain', *args)
    full = idle_poll(
        tmp_path / 'full', '--min-interval', '1h', '--max-wait', '1h', '--splay', '1h',
        '--on-missing', 'notify', '--validate', 'true', '--exec', 'true', '--verify',
        'true', '--url', 'http://127.0.0.1:1/', '--url-header-file',
        str(tmp_path / 'headers'), *args,
    )

    assert full == plain
    assert len(plain) <= 5


def test_a_name_that_no_process_has_is_said_at_the_first_poll(tmp_path: Path) -> None:
    """A wrong one should not wait for the first change to be seen."""
    conf, name = str(tmp_path / 'app.conf'), unique('wrong')
    write(conf, 'first')
    with watch('--on-start', 'auto', '--process', name, conf) as sidecar:
        baseline = sidecar.until('baseline')

    says = f'1 file in {conf}; no process meets --process {name} yet; if one should, '
    assert baseline['message'].startswith(says)


def test_hangup_is_logged_once_for_all_watches(
        target: targets.Target, conf: str,
) -> None:
    """Whoever sends it sees that it arrived."""
    with watch('--process', comm(target), conf) as it:
        it.until('baseline')
        it.poll()
        (line,) = it.hangups

    assert line['message'] == 'polling now, on SIGHUP'
    assert line['signal'] == 'SIGHUP'


def test_fault_in_one_watch_does_not_end_the_others(tmp_path: Path) -> None:
    """What cannot happen happens in the first: it is logged, and the other delivers."""
    conf, plan = tmp_path / 'app.conf', tmp_path / 'plan.toml'
    write(conf, 'first')
    write(plan, ''.join(
        f'[[watch]]\nname = "{name}"\npath = "{conf}"\nexec = "true {name}"\n'
        f'settle = 0\ninterval = "50ms"\non-start = "never"\n'
        for name in ('bad', 'good')
    ))
    program = (
        'import sys\n'
        'from pollreload.runtime import watch\n'
        'from pollreload.__main__ import main\n'
        'proceed = watch.Watch.proceed\n'
        'def fail(self):\n'
        '    if self.asked.name == "bad":\n'
        '        raise RuntimeError("no such thing")\n'
        '    proceed(self)\n'
        'watch.Watch.proceed = fail\n'
        'sys.exit(main())\n'
    )
    with Sidecar(subprocess.Popen(
        (sys.executable, '-c', program, 'watch', '--config', str(plan),
         '--log-format', 'json'),
        env=sidecar.environment(measured=False), stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ), False) as it:
        fault = it.until('failed', reason='fault', watch='bad')
        it.until('baseline', watch='good')
        write(conf, 'second')
        it.until('delivered', watch='good')
        assert it.stop() == 0

    assert 'RuntimeError at ' in fault['message']
    assert it.count('failed', reason='fault') == 1
