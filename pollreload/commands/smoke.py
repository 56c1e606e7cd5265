"""pollreload smoke: test this machine with a real file, target, watch and signal."""
from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from pollreload.commands import smoke_setup
from pollreload.commands.smoke_setup import Child, Failed, Setup, expect, publish
from pollreload.core.process import ENDING
from pollreload.errors import UsageError
from pollreload.runtime.log import json_object, printable
from pollreload.settings import Signal
from pollreload.system import signal_masks

STEP_WIDTH = 40
COLOURS = {'ok': 'green', 'fail': 'red', 'skip': 'yellow'}


class Skipped(Exception):
    """A step can prove nothing on this machine; the message says why."""


class Step(NamedTuple):
    """The outcome of one step.

    verdict: 'ok', 'fail' or 'skip'. ms: how long it took. says: what was seen
    instead, '' if it passed.
    """

    step: str
    verdict: str
    ms: int
    says: str = ''


def run(reload_signal: Signal, output: str) -> int:
    """Run every step and print its verdict; return 0, or 1 if one failed.

    output: 'text' or 'json'. Raises UsageError for a signal that ends a process.
    """
    if reload_signal.name in (*ENDING, 'SIGSTOP'):
        raise UsageError(
            f'{reload_signal.name} ends or stops its target, which proves no reload; '
            f'name another with --signal',
        )
    steps: list[Step] = []
    log: list[str] = []
    with unwinding_on_term(), ExitStack() as stack:
        setup = None
        for name, act in STEPS:
            began = time.monotonic()
            says, verdict = '', 'fail'
            try:
                setup = setup or smoke_setup.prepare(reload_signal, stack, log)
                act(setup)
            except Skipped as skipped:
                says, verdict = str(skipped), 'skip'
            except Failed as failed:
                says = str(failed)
            except OSError as error:
                # No space for a temporary file, no right to start a process.
                says = f'{error.filename or "here"}: {error.strerror}'
            ms = round((time.monotonic() - began) * 1000)
            steps.append(Step(name, verdict if says else 'ok', ms, says))
            if output == 'text':
                print(verdict_line(steps[-1], takes_colours()), flush=True)
            if says and verdict == 'fail':
                break
    status = int(steps[-1].verdict == 'fail')
    if output == 'json':
        print(json_object({
            'status': status, 'steps': [step._asdict() for step in steps],
            'log': log if status else [],
        }))
    elif status:
        print('what the watch logged:')
        for each in log or ['nothing']:
            print(f'    {printable(each)}')
    return status


def takes_colours() -> bool:
    """Return whether stdout takes colours: a terminal, and no NO_COLOR."""
    dumb = os.environ.get('TERM', 'dumb') == 'dumb'
    return os.isatty(1) and not dumb and not os.environ.get('NO_COLOR')


def verdict_line(step: Step, colour: bool = False) -> str:
    """Return the line of a step; colour: of its verdict."""
    verdict = f'{step.verdict:4}'
    if colour:
        import click
        verdict = click.style(verdict, fg=COLOURS[step.verdict])
    if step.says:
        return f'{verdict}  {step.step}: {printable(step.says)}'
    return f'{verdict}  {step.step:{STEP_WIDTH}} {step.ms:5} ms'


@contextmanager
def unwinding_on_term() -> Iterator[None]:
    """Let TERM and INT raise SystemExit, so that every process is ended."""
    def unwind(number: int, _: FrameType | None) -> NoReturn:
        # Once: a second signal must not interrupt the cleaning up.
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


def wait_for(watch: Child, event: str) -> dict[str, Any]:
    """Read what a watch logs up to an event, and return that entry. Raises Failed."""
    import json
    deadline = time.monotonic() + smoke_setup.STEP_TIMEOUT
    while read := watch.read_line(deadline):
        try:
            entry: dict[str, Any] = json.loads(read)
        except ValueError:
            # A traceback, or a message of the dynamic linker: shown, not parsed.
            continue
        if entry['event'] == event:
            return entry
    if read is None:
        raise Failed(
            f'the watch logged no {event!r} within {smoke_setup.STEP_TIMEOUT:g} s',
        )
    raise Failed(f'the watch ended instead of logging {event!r}')


def first_poll(setup: Setup) -> None:
    """The first poll is the baseline."""
    wait_for(setup.watch, 'baseline')


def change(setup: Setup) -> None:
    """A new version is one signal, and the target lives on."""
    publish(setup.directory, f'a version of {time.monotonic_ns()}\n')
    expect(setup.target, 'signal', 'the target got no signal')
    wait_for(setup.watch, 'delivered')
    # Its answer comes next, so no second signal came before.
    setup.target.write_line('ping')
    expect(setup.target, 'here', 'the target did not get exactly one signal')


def identical(setup: Setup) -> None:
    """The same bytes in another directory are no change."""
    with open(f'{setup.directory}/app.conf', encoding='ascii') as file:
        text = file.read()
    publish(setup.directory, text)
    # HUP polls; and of two pending signals the watch takes HUP, the lower number,
    # first: the status is the result of that poll.
    setup.watch.process.send_signal(signal.SIGHUP)
    setup.watch.process.send_signal(signal.SIGUSR1)
    seen = wait_for(setup.watch, 'status')['message']
    if 'reading' in seen:
        # A child of the watch reads if the file system may hang.
        wait_for(setup.watch, 'polled')
        setup.watch.process.send_signal(signal.SIGUSR1)
        seen = wait_for(setup.watch, 'status')['message']
    if not seen.partition(',')[0].endswith(' current'):
        raise Failed(f'the watch took it for a change: {seen}')
    setup.target.write_line('ping')
    expect(setup.target, 'here', 'the target was signalled')


def unhandled(setup: Setup) -> None:
    """A target that would die of the signal gets none, and the reason is logged."""
    if signal_masks.masks(os.getpid()) is None:
        # It would be signalled, and die: missing evidence is unknown, never "no".
        raise Skipped('this kernel does not show which signals a process handles')
    setup.target.write_line('drop')
    expect(setup.target, 'here', 'the target did not drop its handler')
    publish(setup.directory, 'a version that is held\n')
    reason = wait_for(setup.watch, 'held')['reason']
    if reason != 'no handler':
        raise Failed(f'the watch held it for another reason: {reason}')
    setup.target.write_line('ping')
    expect(setup.target, 'here', 'the target did not live on')


def stop(setup: Setup) -> None:
    """TERM ends a watch at once, with status 0."""
    process = setup.watch.process
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + smoke_setup.STEP_TIMEOUT
    while setup.watch.read_line(deadline):
        pass
    try:
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise Failed(
            f'the watch still runs {smoke_setup.STEP_TIMEOUT:g} s after TERM',
        ) from None
    if status:
        raise Failed(f'the watch ended with status {status}')


STEPS: tuple[tuple[str, Callable[[Setup], None]], ...] = (
    ('the first poll takes a baseline', first_poll),
    ('a change is one signal', change),
    ('an identical copy is no signal', identical),
    ('the next change is one signal', change),
    ('a target without a handler is spared', unhandled),
    ('TERM ends the watch', stop),
)
