"""The behaviours, each with what is right, judged alike for every tool.

What a cell says is what happened: how often the program was notified, and what it had
read then; which other process was notified, or died.
"""
from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from comparison.app import DRAIN
from comparison.world import (
    DEADLINE,
    INTERVAL,
    QUIET,
    SILENCE,
    App,
    Tool,
    World,
    until,
)

CALM = 20.0  # s, after which a feedback loop should be slowed down


class Cell(NamedTuple):
    """What happened, in short, and whether it was right."""

    right: bool
    text: str


class Behaviour(NamedTuple):
    """A title, what is done, what is right, and the doing."""

    title: str
    done: str
    right: str
    run: Callable[[Tool], Cell]


def times(count: int) -> str:
    """Return 'notified once', 'notified 3 times', 'not notified'."""
    match count:
        case 0:
            return 'not notified'
        case 1:
            return 'notified once'
        case 2:
            return 'notified twice'
    return 'notified over and over' if count > 10 else f'notified {count} times'


def change_once(world: World, app: App) -> tuple[bool, int]:
    """Watch, and change the files: whether it is notified of that, and how often."""
    world.watch()
    before = len(app.tells)
    notified = app.notified(world.change(), before)
    return notified, app.quiet() - before


def died(app: App) -> str:
    """Return how a program ended."""
    return 'killed it' if app.died == 'SIGHUP' else f'it ended ({app.died})'


def ended(world: World) -> str:
    """Return a remark on a tool that has ended by itself."""
    return '; the tool ended' if world.ended else ''


def swaps(tool: Tool) -> Cell:
    with World(tool, linked=True) as world:
        app = world.app()
        world.watch()
        before, seen = len(app.tells), 0
        for _ in range(3):
            content, since = world.next(), len(app.tells)
            world.swap(content)
            seen += app.notified(content, since)
            app.quiet()
        count = app.quiet(0) - before
    of = f'notified of {seen} of 3'
    return Cell(seen == 3, of if count == seen else f'{of}, {times(count)} in all')


def identical(tool: Tool) -> Cell:
    with World(tool, linked=True) as world:
        app = world.app()
        world.watch()
        before = len(app.tells)
        world.swap(f'version {world.count:03d}')
        count = app.quiet(SILENCE) - before
        content = world.next()
        world.swap(content)
        # By order: a notification of the next version comes after one of this.
        since = len(app.tells)
        works = app.notified(content, since)
        count += sum(each != content for each in app.tells[since:])
        text = times(count) + ('' if works else ', nor of the real change after it')
    return Cell(not count and works, text if not count or works else times(count))


def restored(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app()
        world.watch()
        before, old = len(app.tells), world.file.stat()
        content = world.change()
        os.utime(world.file, ns=(old.st_atime_ns, old.st_mtime_ns))
        notified = app.notified(content, before)
        return Cell(notified, times(app.quiet() - before))


def emptied(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app()
        world.watch()
        before = len(app.tells)
        world.file.write_bytes(b'')
        app.quiet(QUIET * INTERVAL)
        content = world.change()
        notified = app.notified(content, before)
        app.quiet()
        seen = app.tells[before:]
        empty, full = seen.count('empty'), seen.count(content)
        text = times(full)
        if empty:
            text = f'{times(empty)} of the empty file; then {times(full)}'
        return Cell(notified and not empty, text + ended(world))


def vanished(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app()
        world.watch()
        counts: list[int] = []
        for content in (f'version {world.count:03d}', world.next()):
            before = len(app.tells)
            world.file.unlink()
            app.quiet()
            world.place(content)
            if counts:
                app.notified(content, before)
            counts.append(app.quiet(QUIET if counts else SILENCE) - before)
        same, other = counts
        text = f'same bytes: {times(same)}; other bytes: {times(other)}'
        right = not same and other == 1 and app.tells[-1] == content
        return Cell(right, text + ended(world))


def absent(tool: Tool) -> Cell:
    with World(tool) as world:
        world.watch()
        content = world.change()
        # The first poll after the change finds no process.
        world.pause(2 * QUIET)
        app = world.app()
        assert app.lines[0] == f'ready {content}'
        needless = app.quiet(SILENCE)
        content = world.change()
        notified = app.notified(content, needless)
        app.quiet()
        text = f'{times(needless)} at its start'
        text = 'nothing, and it had read it' if not needless else text
        if not notified:
            text += ', but not of the next change'
        return Cell(notified, text + ended(world))


def unready(tool: Tool) -> Cell:
    with World(tool) as world:
        with_handler = world.app()
        world.watch()
        with_handler.end()
        world.apps.remove(with_handler)
        app = world.app('late')
        # Older than any tool takes for too young.
        app.quiet()
        content = world.change()
        app.quiet(2)
        lived = app.ask('handling')
        notified = lived and app.notified(content, 0)
        count = app.quiet(QUIET if lived else 0)
        return Cell(notified, times(count) if app.died is None else died(app))


def namesakes(tool: Tool) -> Cell:
    same, same_text = namesake(tool, '', '')
    prefix, prefix_text = namesake(tool, '-backend-one', '-backend-two')
    return Cell(
        same and prefix, f'same name: {same_text}; first 15 bytes: {prefix_text}',
    )


def namesake(tool: Tool, own: str, others: str) -> Cell:
    """Return what happens if another program, which started first, has a name.

    It is right to notify the one, or to say that it could be either; and not to touch
    the other.
    """
    with World(tool) as world:
        other = world.app('default', others, elsewhere=True)
        app = world.app(suffix=own)
        world.watch(own)
        before = len(app.tells)
        content = world.change()
        notified = app.notified(content, before)
        said = not notified and re.search(
            rf'held: .*\b{other.pid}\b.*\b{app.pid}\b', world.said,
        )
        count = app.quiet() - before
        if other.died is not None:
            return Cell(False, f'killed the other, {times(count)}')
        if said:
            return Cell(True, 'notified neither, and named the two')
        return Cell(notified, times(count))


def workers(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app('master')
        notified, count = change_once(world, app)
        # Also those that died at a tool's start.
        lost = app.lines.count('lost a worker')
        if lost:
            return Cell(False, f'master {times(count)}; killed {lost} workers')
        return Cell(notified, f'master {times(count)}')


def zombie(tool: Tool) -> Cell:
    with World(tool) as world:
        dead = world.app(elsewhere=True)
        dead.zombie()
        world.apps.remove(dead)
        try:
            notified, count = change_once(world, world.app())
            return Cell(notified, times(count))
        finally:
            dead.end()


def reverted(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app()
        # pollreload can be given that the program refuses the second version.
        verify = f"grep -q 'version 001' {world.file}"
        ours = tool.__name__ == 'pollreload'
        words = ('--verify', verify, '--command-timeout', '1s') if ours else ()
        world.watch(words=words)
        before = len(app.tells)
        first, second = f'version {world.count:03d}', world.change()
        notified = app.notified(second, before)
        if ours:
            until(lambda: ' failed: ' in world.said, 'the delivery fails')
        else:
            app.quiet()
        since, said = len(app.tells), len(world.said)
        world.overwrite(first)
        again = app.notified(first, since)
        app.quiet()
        # A last try of the second version may find the first already there.
        again = again and (not ours or ' verified: ' in world.said[said:])
        text = 'notified again' if again else 'not notified of the first again'
        return Cell(notified and again, text if notified else f'not notified; {text}')


def restarted(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app()
        world.watch()
        world.stop()
        before = app.quiet(1)
        content = world.change()
        app.quiet(1)
        world.watch()
        notified = app.notified(content, before)
        return Cell(notified, times(app.quiet() - before))


def draining(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app('drains')
        world.watch()
        seen = []
        for wait in (DEADLINE, DRAIN + DEADLINE):
            since = len(app.tells)
            seen.append(app.notified(world.change(), since, wait))
            app.quiet()
        lost = '; killed the successor' if 'lost a worker' in app.lines else ''
    text = 'of the second: successor notified'
    if not seen[1]:
        text = 'of the second: successor not notified'
    if not seen[0]:
        text = f'of the first: not notified; {text}'
    return Cell(all(seen) and not lost, text + lost)


def renamed(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app('renamed')
        world.watch()
        seen = 0
        for _ in range(2):
            since = len(app.tells)
            seen += app.notified(world.change(), since)
            app.quiet()
        return Cell(seen == 2, f'notified of {seen} of 2')


def wrapped(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app('wrapper')
        notified, count = change_once(world, app)
        if app.died is not None:
            return Cell(False, 'killed the wrapper')
        return Cell(notified, f'program {times(count)}')


def unmounted(tool: Tool) -> Cell:
    with World(tool, whole=True) as world:
        app = world.app()
        world.watch()
        before = len(app.tells)
        world.unmount()
        app.quiet(SILENCE)
        away = len(app.tells) - before
        world.mount()
        back = app.quiet(SILENCE) - before - away
        since = len(app.tells)
        notified = app.notified(world.change(), since)
        app.quiet()
        text = times(away + back)
        if away + back and not notified:
            text += ', and not of the next change'
        elif not notified:
            text = 'not notified, nor of the next change'
        return Cell(notified and not away + back, text + ended(world))


def looping(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app('rewrites')
        world.watch()
        before = len(app.tells)
        first = app.notified(world.change(), before)
        # What comes now is caused by the reloads alone.
        app.listen(CALM)
        early = len(app.tells)
        app.listen(CALM)
        if len(app.tells) - early > CALM / INTERVAL / 5:
            return Cell(False, 'notified over and over')
        content, since = world.next(), len(app.tells)
        world.place(content)
        last = app.notified(content, since, 2 * CALM + DEADLINE)
    text = 'slowed down'
    if since == before + 1:
        text = 'not notified of what the program wrote'
    if not first or not last:
        text += ', and not notified of the next change'
    return Cell(first and last, text)


BEHAVIOURS = (
    Behaviour(
        'three `..data` swaps',
        'Three times, the link `..data` is renamed over, to a directory with another '
        'version, and the old directory is removed.',
        'notified of each, when the file has the new version', swaps,
    ),
    Behaviour(
        'identical swap', 'The same, once, with the same bytes.', 'not notified',
        identical,
    ),
    Behaviour(
        'same size and mtime',
        'The file is written in place with the same size, and its mtime put back.',
        'notified', restored,
    ),
    Behaviour(
        'emptied, then written', f'The file is cut to nothing, and written '
        f'{QUIET * INTERVAL:g} s later.',
        'notified when it is written, and not while it is empty', emptied,
    ),
    Behaviour(
        'vanished and returned',
        f'The file is removed, and {QUIET:g} s later there again by rename, with the '
        'same bytes; then once more, with others.',
        'not notified for the same bytes, notified once for others', vanished,
    ),
    Behaviour(
        'program absent, then late',
        f'The file changes while the program is down; it starts {2 * QUIET:g} s later, '
        'and reads the file. Then the file changes again.',
        'notified or not at its start (it has read the file), and notified of the next '
        'change',
        absent,
    ),
    Behaviour(
        'no handler yet',
        'The program handles HUP from 2 s after the change; before, it dies of it.',
        'alive, and notified', unready,
    ),
    Behaviour(
        'wrong process among namesakes',
        'Another program, which dies of HUP and started first, has the same name; '
        'then, the same first 15 bytes, which is all that the kernel keeps.',
        'the other is left alone, and the program notified; or neither is, and the '
        'tool '
        'says between which two it cannot choose', namesakes,
    ),
    Behaviour(
        'worker versus master',
        'The program has two workers of its name, which HUP kills, as gunicorn has.',
        'the master is notified, no worker is killed', workers,
    ),
    Behaviour(
        'zombie',
        'A zombie of that name is there, with a lower pid.', 'notified', zombie,
    ),
    Behaviour(
        'failed delivery, then revert',
        'The program is notified of a version that it refuses, and the file goes back '
        'to the one before.', 'notified again', reverted,
    ),
    Behaviour(
        'restart with a change meanwhile',
        'The tool is stopped, the file changes, the tool is started again.', 'notified',
        restarted,
    ),
    Behaviour(
        'old process beside its successor',
        'At HUP the program starts a successor of its name, which reads the file; the '
        f'old process finishes its work and ends {DRAIN:g} s later. Before that, the '
        'file changes once more.',
        'the successor is notified of the second change, at the latest when the old '
        'process has ended', draining,
    ),
    Behaviour(
        'renamed process',
        'The program has another name after its first reload, and the file changes '
        'again.', 'notified of both', renamed,
    ),
    Behaviour(
        'wrapper of the same name',
        'A start script, which HUP kills, runs the program as a child of the same '
        'name.', 'the program is notified, the wrapper lives', wrapped,
    ),
    Behaviour(
        'unmounted volume',
        f'An empty directory takes the place of the directory for {SILENCE:g} s, as '
        'when a volume is unmounted. Then the file changes.',
        'not notified until the file changes', unmounted,
    ),
    Behaviour(
        'feedback loop',
        'The program writes a line to its file at every reload.',
        f'{CALM:g} s later it is notified less than every {5 * INTERVAL} s, and still '
        'of the next change', looping,
    ),
)
