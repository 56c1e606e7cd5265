"""pollreload smoke: prove it on this machine.

Alone: a real watch, a real file and a real target of its own, step by step.
With a PATH: what doctor finds and, with --deliver, one real signal.
"""
from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import IO, Any, NamedTuple, NoReturn

from pollreload.commands import check
from pollreload.commands.doctor import main
from pollreload.commands.doctor import rows as rows_module
from pollreload.commands.doctor.rows import Row
from pollreload.core.process import ENDING
from pollreload.core.state import State
from pollreload.core.step import status
from pollreload.errors import UsageError
from pollreload.runtime import interrupt, runner, world
from pollreload.runtime import log as log_module
from pollreload.runtime.observer import Observer
from pollreload.settings import Settings
from pollreload.system import signal_masks

PATIENCE = 5.0  # s that any one thing may take until it counts as not happening
STOPPED = 1.0  # s that a watch may take to stop
POLL = ('--interval', '200ms', '--settle', '100ms', '--survive', '250ms', '-v')
WIDTH = 40
SHARED = '/dev/shm'  # shm_overview(7)
# The target. Its wake-up descriptor is written by the handler in C, at once; one
# in Python runs some time later. It takes a word before the signals and answers
# it after them: who sends a signal and then a word is told of both in that order.
TARGET = '''
import ctypes, os, select, signal, sys
number, name = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None)
libc.prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
libc.prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
signals, writer = os.pipe()
os.set_blocking(signals, False)
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
signal.signal(number, lambda *_: None)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
os.write(1, b'ready\\n')
word = None
while word != b'':
    ready = select.select([signals, 0], [], [])[0]
    word = os.read(0, 64) if 0 in ready else None
    try:
        os.write(1, b'signal\\n' * len(os.read(signals, 64)))
    except BlockingIOError:
        pass
    if word == b'drop\\n':
        signal.signal(number, signal.SIG_DFL)
    if word:
        os.write(1, b'here\\n')
'''


class Unproved(Exception):
    """A step did not go as it has to; the words say what was seen."""


class Unknown(Exception):
    """A step cannot prove anything here; the words say why."""


class Voice:
    """A process of ours, and the lines that it says on one pipe."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: IO[bytes]) -> None:
        self.process = process
        self.pipe = pipe
        self.unread = b''
        self.said: list[str] = []

    def line(self, until: float) -> str | None:
        """Return the next line; '' at the end of all, None if there is none in time.

        until: by time.monotonic().
        """
        fd = self.pipe.fileno()
        while b'\n' not in self.unread:
            left = max(0.0, until - time.monotonic())
            if not select.select([fd], [], [], left)[0]:
                return None
            read = os.read(fd, 65536)
            if not read:
                return ''
            self.unread += read
        line, _, self.unread = self.unread.partition(b'\n')
        self.said.append(line.decode('utf-8', 'backslashreplace'))
        return self.said[-1]


class Scene(NamedTuple):
    """What a step acts with.

    directory: laid out as a kubelet does it. target, watch: the processes.
    """

    directory: str
    target: Voice
    watch: Voice


class Step(NamedTuple):
    """One step: what it proved or what was seen instead, and ms that it took."""

    step: str
    verdict: str
    ms: int
    says: str = ''


def run(settings: Settings) -> int:
    """Run the smoke test; return 0, or 1 where something is not as it has to be."""
    if settings.paths:
        return deployment(settings)
    if settings.signal.name in (*ENDING, 'SIGSTOP'):
        raise UsageError(
            f'{settings.signal.name} is no signal to reload on; name another with '
            f'--signal, or a PATH and a process to try it on',
        )
    return alone(settings)


def alone(settings: Settings) -> int:
    """Run the test that brings all it needs; return the exit status."""
    steps: list[Step] = []
    log: list[str] = []
    with ending_by_term(), ExitStack() as stack:
        scene = None
        for name, act in STEPS:
            began = time.monotonic()
            says, verdict = '', 'fail'
            try:
                scene = scene or stage(settings, stack, log)
                act(scene)
            except Unknown as unknown:
                says, verdict = str(unknown), 'skip'
            except Unproved as unproved:
                says = str(unproved)
            except OSError as error:
                # No room for a temporary file, no right to start a process.
                says = f'{error.filename or "here"}: {error.strerror}'
            ms = round((time.monotonic() - began) * 1000)
            steps.append(Step(name, verdict if says else 'ok', ms, says))
            if settings.output == 'text':
                print(line(steps[-1]), flush=True)
            if says and verdict == 'fail':
                break
    failed = steps[-1].verdict == 'fail'
    if settings.output == 'json':
        print(log_module.json_object({
            'status': int(failed), 'steps': [step._asdict() for step in steps],
            'log': log if failed else [],
        }))
    elif failed:
        print('what the watch logged:')
        for each in log or ['nothing']:
            print(f'    {log_module.printable(each)}')
    return int(failed)


def line(step: Step) -> str:
    """Return a step as a line."""
    if step.says:
        return f'{step.verdict:4}  {step.step}: {log_module.printable(step.says)}'
    return f'{step.verdict:4}  {step.step:{WIDTH}} {step.ms:5} ms'


@contextmanager
def ending_by_term() -> Iterator[None]:
    """Let TERM unwind, as INT does, so that what was started is ended."""
    def unwind(number: int, _: FrameType | None) -> NoReturn:
        # Once: the next must not break into what this one has begun.
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, unwind)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stage(settings: Settings, stack: ExitStack, log: list[str]) -> Scene:
    """Return the scene, whose end is on the stack.

    log: where the lines of the watch are to be found. Raises Unproved.
    """
    directory = room()
    stack.callback(shutil.rmtree, directory)
    swap(directory, 'the first content\n')
    os.symlink('..data/app.conf', f'{directory}/app.conf')
    name = f'smoke-{os.getpid()}'
    target = started(stack, [
        *interpreter(), '-I', '-S', '-c', TARGET, str(settings.signal.number), name,
    ], dict(os.environ))
    expect(target, 'ready', 'the target is not ready')
    watch = started(stack, [
        *interpreter(), '-m', 'pollreload', 'watch', f'{directory}/app.conf',
        '--process', name, '--signal', str(settings.signal.number), *POLL,
        '--min-uptime', '0', '--on-start', 'never', '--log-format', 'json',
    ], environment(), stderr=True)
    watch.said = log
    return Scene(directory, target, watch)


def room() -> str:
    """Return a new directory. Raises Unproved where there is no room for one."""
    try:
        return tempfile.mkdtemp(prefix='pollreload-')
    except OSError:
        # Every container has this one, also with a root that is read-only.
        try:
            return tempfile.mkdtemp(prefix='pollreload-', dir=SHARED)
        except OSError:
            raise Unproved(
                'there is no directory to write to; mount a tmpfs (in Kubernetes an '
                'emptyDir) at /tmp, or set TMPDIR',
            ) from None


def interpreter() -> list[str]:
    """Return the words that start the interpreter that we run in, as it was started.

    Where install-to has put it, it is run by a loader of its own, which is no
    part of what Python takes for its arguments; and its flags keep an
    environment that is meant for another Python away.
    """
    with open('/proc/self/cmdline', 'rb') as file:
        words = [os.fsdecode(word) for word in file.read().split(b'\0')[:-1]]
    loader = words[:len(words) - len(sys.orig_argv)]
    isolated = ['-I', '-S', '-X', 'utf8'] if sys.flags.isolated else []
    return [*loader, sys.executable, *isolated]


def environment() -> dict[str, str]:
    """Return an environment in which the watch is this very pollreload, and is
    told nothing but by its command line.
    """
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    kept = {
        name: value for name, value in os.environ.items()
        if not (name.startswith('POLLRELOAD_') or name in ('FILE', 'PROCESS', 'SIGNAL'))
    }
    search = [ours, *filter(None, [kept.get('PYTHONPATH')])]
    return {**kept, 'PYTHONPATH': os.pathsep.join(search)}


def started(
        stack: ExitStack, command: list[str], environ: dict[str, str],
        stderr: bool = False,
) -> Voice:
    """Return a process that is ended with the stack.

    stderr: it speaks there, else on stdout.
    """
    process = subprocess.Popen(
        command, env=environ, bufsize=0, stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL if stderr else subprocess.PIPE,
        stderr=subprocess.PIPE if stderr else None,
    )
    # The last in is the first out: it is killed, and then waited for.
    stack.enter_context(process)
    stack.callback(process.kill)
    pipe = process.stderr if stderr else process.stdout
    assert pipe is not None
    return Voice(process, pipe)


def swap(directory: str, content: str) -> None:
    """Put a content there as a kubelet does: a new directory, then ..data moves."""
    new = tempfile.mkdtemp(prefix='..2026_', dir=directory)
    with open(f'{new}/app.conf', 'w', encoding='ascii') as file:
        file.write(content)
    os.symlink(os.path.basename(new), f'{directory}/..data_tmp')
    os.rename(f'{directory}/..data_tmp', f'{directory}/..data')


def expect(voice: Voice, word: str, lack: str) -> None:
    """Take the next line, which has to be a word. Raises Unproved with the lack."""
    said = voice.line(time.monotonic() + PATIENCE)
    if said is None:
        raise Unproved(f'{lack} after {PATIENCE:g} s')
    if said != word:
        ended = 'it ended' if not said else f'it said {said!r}'
        raise Unproved(f'{lack}: {ended}')


def logged(watch: Voice, event: str) -> dict[str, Any]:
    """Take the lines of a watch up to an event, and return that. Raises Unproved."""
    import json
    until = time.monotonic() + PATIENCE
    while said := watch.line(until):
        try:
            entry: dict[str, Any] = json.loads(said)
        except ValueError:
            # A traceback, or a word of the dynamic linker: to be shown, not read.
            continue
        if entry['event'] == event:
            return entry
    if said is None:
        raise Unproved(f'the watch logged no {event!r} within {PATIENCE:g} s')
    raise Unproved(f'the watch ended instead of logging {event!r}')


def tell(target: Voice, word: str) -> None:
    """Write a line to the target."""
    assert target.process.stdin is not None
    try:
        target.process.stdin.write(word.encode() + b'\n')
    except BrokenPipeError:
        # It died; what is read from it next says so.
        pass


def baseline(scene: Scene) -> None:
    """The first look is taken as what the target has."""
    logged(scene.watch, 'baseline')


def change(scene: Scene) -> None:
    """A new content is one signal, and the target lives on."""
    swap(scene.directory, f'a content of {time.monotonic_ns()}\n')
    expect(scene.target, 'signal', 'the target got no signal')
    logged(scene.watch, 'delivered')
    # What it answers next shows that no second signal came before.
    tell(scene.target, 'ping')
    expect(scene.target, 'here', 'the target did not take just one signal')


def identical(scene: Scene) -> None:
    """The same bytes in another directory are no change."""
    with open(f'{scene.directory}/app.conf', encoding='ascii') as file:
        content = file.read()
    swap(scene.directory, content)
    # HUP polls; and of two signals that wait, the watch takes HUP, the lower
    # number, first: the status is what that poll saw.
    scene.watch.process.send_signal(signal.SIGHUP)
    scene.watch.process.send_signal(signal.SIGUSR1)
    seen = logged(scene.watch, 'status')['message']
    if 'reading' in seen:
        # A child of the watch does, where a file system may hang.
        logged(scene.watch, 'polled')
        scene.watch.process.send_signal(signal.SIGUSR1)
        seen = logged(scene.watch, 'status')['message']
    if not seen.startswith('content current'):
        raise Unproved(f'the watch is not at rest: {seen}')
    tell(scene.target, 'ping')
    expect(scene.target, 'here', 'the target was told')


def unhandled(scene: Scene) -> None:
    """A target that would die of the signal is spared, and the reason logged."""
    if signal_masks.masks(os.getpid()) is None:
        # It would be told, and die: missing evidence is no evidence.
        raise Unknown('this kernel does not say what a process handles (gVisor)')
    tell(scene.target, 'drop')
    expect(scene.target, 'here', 'the target did not drop its handler')
    swap(scene.directory, 'what is not told\n')
    reason = logged(scene.watch, 'held')['reason']
    if reason != 'no handler':
        raise Unproved(f'the watch held it for another reason: {reason}')
    tell(scene.target, 'ping')
    expect(scene.target, 'here', 'the target does not live on')


def stop(scene: Scene) -> None:
    """TERM ends a watch at once, with status 0."""
    process = scene.watch.process
    process.send_signal(signal.SIGTERM)
    until = time.monotonic() + STOPPED
    while scene.watch.line(until):
        pass
    try:
        ended = process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise Unproved(f'the watch still runs {STOPPED:g} s after TERM') from None
    if ended:
        raise Unproved(f'the watch ended with status {ended}')


STEPS: tuple[tuple[str, Callable[[Scene], None]], ...] = (
    ('a first look takes a baseline', baseline),
    ('a change is told once', change),
    ('an identical swap is not told', identical),
    ('the next change is told once', change),
    ('a target without a handler is spared', unhandled),
    ('a stop takes less than a second', stop),
)


def deployment(settings: Settings) -> int:
    """Check, and with --deliver try, what somebody has set up; return the status."""
    try:
        with main.waiting(interrupt.ENDING):
            rows = main.rows(settings)
            width = rows_module.width(rows)
            if settings.output == 'text':
                # At once: a delivery and its verification take their time.
                print(rows_module.text(rows, width), flush=True)
            tried = delivery(settings, bool(rows_module.status(rows)))
    except interrupt.Ended as ended:
        raise SystemExit(128 + ended.number) from None
    if settings.output == 'text':
        print(rows_module.text(tried, width))
    else:
        print(rows_module.json([*rows, *tried]))
    return rows_module.status([*rows, *tried])


def delivery(settings: Settings, failed: bool) -> list[Row]:
    """Return what came of one real signal, or that none was sent."""
    if not settings.deliver:
        return [Row(
            'deliver', 'skip', settings.signal.name, 'nothing was sent',
            '--deliver sends one real signal',
        )]
    if failed:
        return [Row(
            'deliver', 'skip', settings.signal.name, 'nothing was sent, for what '
            'fails above would keep it back',
        )]
    return delivered(settings)


def delivered(settings: Settings) -> list[Row]:
    """Tell what is at the paths, as a watch does that starts with --on-start always.

    The ledger is left alone: what is proved here is no business of the watch.
    Raises wiring.Ended.
    """
    settings = settings._replace(on_start='always', splay=0.0)
    # What becomes a row need not be logged too, but for -v.
    rowed = check.ANSWERS | log_module.TALK | {'changed', 'signalled'}
    log = log_module.logger(settings, rowed)
    rows: list[Row] = []
    held = ''

    def say(event: str, message: str, /, **fields: object) -> None:
        nonlocal held
        log(event, message, **fields)
        if event == 'held':
            # For good or for a moment: the end shows.
            held = message
        elif event in check.ANSWERS:
            verdict = 'fail' if event == 'failed' else 'ok'
            rows.append(Row('deliver', verdict, settings.signal.name, message))

    observer, commands = Observer(settings), runner.Runner()
    around = world.world(settings, observer, commands, say, lambda state: True)
    try:
        one = check.One(settings, State(), around, observer, commands)
        check.attempt([one])
        state = one.state
    finally:
        observer.close()
        commands.cancel()
    if state.outcome != 'done' and not rows_module.status(rows):
        says = held or status(state, around.now())
        rows.append(Row('deliver', 'fail', settings.signal.name, f'held: {says}'))
    return rows
