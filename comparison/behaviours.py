"""The twelve behaviours, each with what is right, judged alike for every tool.

What a cell says is what happened: how often the program was told, and what it had
read then; who else was told, or died.
"""
from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from comparison.world import INTERVAL, QUIET, SILENCE, App, Tool, World, until


class Cell(NamedTuple):
    """What happened, in a few words, and whether it was right."""

    right: bool
    text: str


class Behaviour(NamedTuple):
    """A title, what is done, what is right, and the doing."""

    title: str
    done: str
    right: str
    run: Callable[[Tool], Cell]


def times(count: int) -> str:
    """Return 'told once', 'told 3 times', 'not told'."""
    match count:
        case 0:
            return 'not told'
        case 1:
            return 'told once'
        case 2:
            return 'told twice'
    return 'told over and over' if count > 10 else f'told {count} times'


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
            seen += app.told(content, since)
            app.quiet()
        count = app.quiet(0) - before
    of = f'told of {seen} of 3'
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
        # By order: who is told of the next was not just about to be told of this.
        since = len(app.tells)
        works = app.told(content, since)
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
        told = app.told(content, before)
        return Cell(told, times(app.quiet() - before))


def emptied(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app()
        world.watch()
        before = len(app.tells)
        world.file.write_bytes(b'')
        app.quiet(QUIET * INTERVAL)
        content = world.change()
        told = app.told(content, before)
        app.quiet()
        seen = app.tells[before:]
        empty, full = seen.count('empty'), seen.count(content)
        text = times(full)
        if empty:
            text = f'{times(empty)} of the empty file; then {times(full)}'
        return Cell(told and not empty, text + ended(world))


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
                app.told(content, before)
            counts.append(app.quiet(QUIET if counts else SILENCE) - before)
        same, other = counts
        text = f'same bytes: {times(same)}; other bytes: {times(other)}'
        right = not same and other == 1 and app.tells[-1] == content
        return Cell(right, text + ended(world))


def absent(tool: Tool) -> Cell:
    with World(tool) as world:
        world.watch()
        content = world.change()
        # The first look after the change finds nobody to tell.
        world.pause(2 * QUIET)
        app = world.app()
        assert app.lines[0] == f'ready {content}'
        needless = app.quiet(SILENCE)
        content = world.change()
        told = app.told(content, needless)
        app.quiet()
        text = f'{times(needless)} at its start'
        text = 'nothing, and it had read it' if not needless else text
        if not told:
            text += ', but not of the next change'
        return Cell(told, text + ended(world))


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
        told = lived and app.told(content, 0)
        count = app.quiet(QUIET if lived else 0)
        return Cell(told, times(count) if app.died is None else died(app))


def namesakes(tool: Tool) -> Cell:
    same, same_text = namesake(tool, '', '')
    prefix, prefix_text = namesake(tool, '-backend-one', '-backend-two')
    return Cell(
        same and prefix, f'same name: {same_text}; first 15 bytes: {prefix_text}',
    )


def namesake(tool: Tool, own: str, others: str) -> Cell:
    """Return what happens where another program, which started first, has a name.

    It is right to tell the one, or to say that it could be either; and not to touch
    the other.
    """
    with World(tool) as world:
        other = world.app('default', others, elsewhere=True)
        app = world.app(suffix=own)
        world.watch(own)
        before = len(app.tells)
        content = world.change()
        told = app.told(content, before)
        said = not told and re.search(
            rf'held: .*\b{other.pid}\b.*\b{app.pid}\b', world.said,
        )
        count = app.quiet() - before
        if other.died is not None:
            return Cell(False, f'killed the other, {times(count)}')
        if said:
            return Cell(True, 'told neither, and named the two')
        return Cell(told, times(count))


def workers(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app('master')
        world.watch()
        before = len(app.tells)
        content = world.change()
        told = app.told(content, before)
        count = app.quiet() - before
        # Also those that died at a tool's start.
        lost = app.lines.count('lost a worker')
        if lost:
            return Cell(False, f'master {times(count)}; killed {lost} workers')
        return Cell(told, f'master {times(count)}')


def zombie(tool: Tool) -> Cell:
    with World(tool) as world:
        dead = world.app(elsewhere=True)
        dead.zombie()
        world.apps.remove(dead)
        try:
            app = world.app()
            world.watch()
            before = len(app.tells)
            told = app.told(world.change(), before)
            return Cell(told, times(app.quiet() - before))
        finally:
            dead.end()


def reverted(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app()
        # For who can be told what it is: the program refuses the second version.
        verify = f"grep -q 'version 001' {world.file}"
        ours = tool.__name__ == 'pollreload'
        words = ('--verify', verify, '--command-timeout', '1s') if ours else ()
        world.watch(words=words)
        before = len(app.tells)
        first, second = f'version {world.count:03d}', world.change()
        told = app.told(second, before)
        if ours:
            until(lambda: ' failed: ' in world.said, 'the delivery fails')
        else:
            app.quiet()
        since, said = len(app.tells), len(world.said)
        world.overwrite(first)
        again = app.told(first, since)
        app.quiet()
        # A last try of the second version may find the first already there.
        again = again and (not ours or ' verified: ' in world.said[said:])
        text = 'told again' if again else 'not told of the first again'
        return Cell(told and again, text if told else f'not told; {text}')


def restarted(tool: Tool) -> Cell:
    with World(tool) as world:
        app = world.app()
        world.watch()
        world.stop()
        before = app.quiet(1)
        content = world.change()
        app.quiet(1)
        world.watch()
        told = app.told(content, before)
        return Cell(told, times(app.quiet() - before))


BEHAVIOURS = (
    Behaviour(
        'three `..data` swaps',
        'Three times, the link `..data` is renamed over, to a directory with other '
        'content, and the old directory is removed.',
        'told of each, when the file has its new content', swaps,
    ),
    Behaviour(
        'identical swap', 'The same, once, with the same bytes.', 'not told', identical,
    ),
    Behaviour(
        'same size and mtime',
        'The file is written in place with the same size, and its mtime put back.',
        'told', restored,
    ),
    Behaviour(
        'emptied, then written', f'The file is cut to nothing, and written '
        f'{QUIET * INTERVAL:g} s later.',
        'told when it is written, and not while it is empty', emptied,
    ),
    Behaviour(
        'vanished and returned',
        f'The file is removed, and {QUIET:g} s later there again by rename, with the '
        'same bytes; then once more, with others.',
        'not told for the same bytes, told once for others', vanished,
    ),
    Behaviour(
        'program absent, then late',
        f'The file changes while the program is down; it starts {2 * QUIET:g} s later, '
        'and reads the file. Then the file changes again.',
        'told or not at its start (it has read the file), and told of the next change',
        absent,
    ),
    Behaviour(
        'no handler yet',
        'The program handles HUP from 2 s after the change; before, it dies of it.',
        'alive, and told', unready,
    ),
    Behaviour(
        'wrong process among namesakes',
        'Another program, which dies of HUP and started first, has the same name; '
        'then, the same first 15 bytes, which is all that the kernel keeps.',
        'the other is left alone, and the program told; or nobody is, and the tool '
        'says between which two it cannot choose', namesakes,
    ),
    Behaviour(
        'worker versus master',
        'The program has two workers of its name, which HUP kills, as gunicorn has.',
        'the master is told, no worker is killed', workers,
    ),
    Behaviour(
        'zombie',
        'A zombie of that name is there, with a lower pid.', 'told', zombie,
    ),
    Behaviour(
        'failed delivery, then revert',
        'The program is told of a version that it refuses, and the file goes back to '
        'the one before.', 'told again', reverted,
    ),
    Behaviour(
        'restart with a change meanwhile',
        'The tool is stopped, the file changes, the tool is started again.', 'told',
        restarted,
    ),
)
