"""Configuration files that change at random, as editors, deployments and faults do.

Each text is unique, so a version comes back only after `polled` has waited for
pollreload to see the one in between: a poller misses a version that no poll reads.
"""
from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.servers.harness import swap
from tests.support.recorder import names
from tests.support.sidecar import write

LAYOUTS = 'file', 'directory', 'glob', 'several', 'data', 'link'
PAUSES = 0.0, 0.0, 0.001, 0.01, 0.05, 0.15, 0.4
LARGE = 3 << 16  # characters of a text that takes several writes


class Tree:
    """Files below a directory, in one layout.

    paths: what pollreload watches. changes: how many versions there can have been.
    touched: the files that were given another text since the last quiet point; with
            '' more than those.
    old: the files that were there at the last quiet point. Only such a file is deleted:
        without one that was added just now, the version would be as before.
    polled: waits until pollreload has polled twice, and returns whether it has.
    resting: whether nothing is due, so that no target is about to read the files.
    invalid: whether a text may be one that --validate refuses.
    """

    def __init__(
            self, root: str, layout: str, chance: random.Random,
            polled: Callable[[], bool], resting: Callable[[], bool], invalid: bool,
    ) -> None:
        self.root, self.layout, self.chance = root, layout, chance
        self.polled, self.resting, self.invalid = polled, resting, invalid
        self.changes = self.count = 0
        self.old: list[str] = []
        self.touched: set[str] = set()
        self.conf = f'{root}/conf'
        self.file = f'{root}/app.conf'
        self.paths = {
            'file': [self.file], 'directory': [self.conf], 'data': [self.conf],
            'glob': [f'{self.conf}/*.conf'], 'several': [self.file, self.conf],
            'link': [self.conf],
        }[layout]
        if layout in ('file', 'several'):
            write(self.file, self.text())
        if layout == 'link':
            os.mkdir(f'{root}/releases')
        if layout in ('data', 'link'):
            self.swap()
        elif layout != 'file':
            os.makedirs(self.conf)
            for name in 'a.conf', 'b.conf':
                write(f'{self.conf}/{name}', self.text())

    def text(self) -> str:
        """Return a text that no file had before."""
        self.count += 1
        bad = 'bad' if self.invalid and self.chance.random() < 0.2 else ''
        large = '#' * LARGE if self.chance.random() < 0.1 else ''
        return f'{bad}v{self.count}{large}'

    def pause(self) -> None:
        """Let a random time pass, often none."""
        time.sleep(self.chance.choice(PAUSES))

    def members(self) -> list[str]:
        """Return the paths of all entries that are watched and are no directory."""
        found = [self.file] if self.layout in ('file', 'several') else []
        if self.layout != 'file' and os.path.isdir(self.conf):
            found += [f'{self.conf}/{name}' for name in names(self.conf)]
        return found

    def changed(self, *paths: str, times: int = 1) -> None:
        """Note that the version is, or will be, another one, so many times."""
        self.changes += times
        self.touched.update(paths)

    def rest(self) -> None:
        """Note that what is there now was polled."""
        self.changes, self.touched, self.old = 0, set(), self.members()

    def do(self, name: str) -> None:
        """Do an act by its name."""
        if self.layout != 'file' and not os.path.isdir(self.conf):
            self.repair()
        getattr(self, name)()

    def pick(self) -> str:
        """Return one of the files, or the name of a new one."""
        found = self.members()
        return self.chance.choice(found) if found else self.new()

    def pick_old(self) -> str:
        """Return a file that was there at the last quiet point, if there is one."""
        found = [each for each in self.members() if each in self.old]
        return self.chance.choice(found) if found else ''

    def new(self) -> str:
        """Return the path of a file that is not there yet."""
        self.count += 1
        if self.layout == 'file':
            return self.file
        below = '/sub' if self.layout == 'directory' and self.count % 3 == 0 else ''
        os.makedirs(f'{self.conf}{below}', exist_ok=True)
        return f'{self.conf}{below}/n{self.count}.conf'

    def replace(self) -> None:
        """Rename a new file over an old one."""
        if self.layout == 'data':
            self.swap()
            return
        path = self.pick()
        self.changed(path)
        put(path, self.text())

    def rewrite(self) -> None:
        """Truncate a file, and write it in two parts with a pause between."""
        path, text = self.pick(), self.text()
        self.changed(path, times=3)
        with open(clear(path), 'w', encoding='utf-8') as file:
            self.pause()
            file.write(text[:1])
            file.flush()
            self.pause()
            file.write(text[1:])

    def append(self) -> None:
        """Add a line to a file."""
        path = self.pick()
        self.changed(path)
        with open(clear(path), 'a', encoding='utf-8') as file:
            file.write(f'{self.text()}\n')

    def truncate(self) -> None:
        """Make a file empty for a time."""
        path = self.pick()
        self.changed(path, times=2)
        with open(clear(path), 'w', encoding='utf-8'):
            pass
        self.pause()
        put(path, self.text())

    def several(self) -> None:
        """Change several files one after another, with pauses."""
        for _ in range(self.chance.randint(2, 4)):
            self.replace()
            self.pause()

    def burst(self) -> None:
        """Change one file many times in a short time."""
        path = self.pick()
        for _ in range(self.chance.randint(5, 30)):
            self.changed(path)
            put(path, self.text())

    def add(self) -> None:
        """Add a file."""
        path = self.new()
        self.changed(path)
        put(path, self.text())

    def delete(self) -> None:
        """Delete a file; of a single path another comes after a while."""
        path = self.pick_old()
        if not path:
            self.replace()
            return
        self.changed(path)
        remove(path)
        if path == self.file:
            self.pause()
            self.changed(path)
            put(path, self.text())

    def rename(self) -> None:
        """Give a file another name, and of a single path put another in its place."""
        path, other = self.pick(), self.new()
        if path == self.file:
            self.replace()
            return
        self.changed(path, other, times=2)
        if os.path.lexists(path):
            os.rename(path, other)

    def returns(self) -> None:
        """Put another version there until it was polled, and then the first again."""
        path = self.pick()
        if not os.path.isfile(path) or os.path.islink(path):
            self.replace()
            return
        with open(path, encoding='utf-8') as file:
            before = file.read()
        self.changed(path, times=2)
        put(path, self.text())
        put(path, before if self.polled() else self.text())

    def vanish(self) -> None:
        """Take a whole path away for a time, and bring it back with other texts."""
        path, same = self.top(), self.chance.random() < 0.5
        same = same and self.resting()
        self.changed('', times=2)
        if os.path.lexists(path):
            os.rename(path, f'{self.root}/away')
        polled = same and self.polled()
        self.pause()
        remove(path)
        if os.path.lexists(f'{self.root}/away'):
            os.rename(f'{self.root}/away', path)
        if not polled:
            self.replace()

    def lock(self) -> None:
        """Make a file unreadable for a time."""
        path, same = self.pick(), self.chance.random() < 0.5
        if self.layout == 'data' or not os.path.isfile(path) or os.path.islink(path):
            self.replace()
            return
        same = same and self.resting()
        self.changed(path, times=2)
        os.chmod(path, 0)
        self.pause()
        if same and self.polled():
            os.chmod(path, 0o644)
        else:
            put(path, self.text())

    def top(self) -> str:
        """Return one of the paths themselves."""
        return self.chance.choice([each.removesuffix('/*.conf') for each in self.paths])

    def kind(self) -> None:
        """Have something else at a path for a time: a directory, FIFO or link."""
        path = self.pick_old()
        if not path or self.layout == 'data' or self.chance.random() < 0.3:
            path = self.top()
        self.changed('', times=3)
        remove(path)
        match self.chance.choice(('directory', 'full', 'fifo', 'dangling', 'loop')):
            case 'directory':
                os.mkdir(path)
            case 'full':
                os.mkdir(path)
                write(f'{path}/inner.conf', self.text())
            case 'fifo':
                os.mkfifo(path)
            case 'dangling':
                os.symlink(f'{self.root}/nowhere', path)
            case 'loop':
                os.symlink(path, path)
        self.pause()
        if self.chance.random() < 0.7:
            self.repair()

    def link(self) -> None:
        """Make a file a link: to another file, to nothing, or to /dev/null."""
        path = self.pick_old()
        if not path:
            self.replace()
            return
        self.changed(path, times=2)
        aim = f'{self.root}/aim{self.count}'
        write(aim, self.text())
        chosen = aim
        if path != self.file and not os.path.islink(path):
            chosen = self.chance.choice((aim, '/dev/null', f'{self.root}/nowhere'))
        remove(path)
        self.pause()
        os.symlink(chosen, path)

    def swap(self) -> None:
        """Replace all files of the directory in one step, if the layout can."""
        texts = {name: self.text() for name in self.chosen()}
        self.changed('', times=2 * len(texts) + 2)
        match self.layout:
            case 'data':
                if not all(map(os.path.islink, self.members())):
                    remove(self.conf)  # the kubelet made none of this
                swap(self.conf, texts)
            case 'link':
                release = f'{self.root}/releases/{self.count}'
                self.fill(release, texts)
                os.symlink(release, f'{self.root}/next')
                if not os.path.islink(self.conf):
                    remove(self.conf)
                os.rename(f'{self.root}/next', self.conf)
            case 'file':
                put(self.file, self.text())
            case _:
                self.fill(f'{self.root}/new', texts)
                if os.path.lexists(self.conf):
                    os.rename(self.conf, f'{self.root}/old')
                self.pause()
                os.rename(f'{self.root}/new', self.conf)
                remove(f'{self.root}/old')

    def chosen(self) -> list[str]:
        """Return some names for the files of a directory."""
        return self.chance.sample(
            ['a.conf', 'b.conf', 'c.conf', 'd.conf'], self.chance.randint(1, 4),
        )

    def fill(self, directory: str, texts: dict[str, str]) -> None:
        """Make a directory with files."""
        os.mkdir(directory)
        for name, text in texts.items():
            write(f'{directory}/{name}', text)

    def repair(self) -> None:
        """Make every path readable, not empty and valid, if it is not."""
        below = self.layout != 'file'
        invalid, self.invalid = self.invalid, False
        if below and not os.path.isdir(self.conf):
            remove(self.conf)
            self.swap()
        for path in self.members():
            if not self.sound(path):
                self.changed('')
                self.swap() if self.layout == 'data' else put(path, self.text())
        if below and not any(
                os.path.isfile(each) for each in self.members() if each != self.file
        ):
            self.replace()
        self.invalid = invalid

    def sound(self, path: str) -> bool:
        """Return whether a file may stay as it is at a quiet point."""
        if os.path.isfile(path):
            return not reads(path).startswith('bad')
        if path == self.file or (self.layout == 'glob' and os.path.isdir(path)):
            return False
        # An empty file or none, see docs/how-it-works.md.
        return os.path.islink(path) and not loops(path)

    # What changes no version.

    def same(self) -> None:
        """Replace a file by an identical copy."""
        path = self.pick()
        if self.layout == 'data':
            self.same_swap()
        elif os.path.isfile(path):
            put(path, reads(path))

    def touch(self) -> None:
        """Change the dates or the mode of a file."""
        path = self.pick()
        if os.path.isfile(path) and os.path.realpath(path) != '/dev/null':
            if self.chance.random() < 0.5:
                os.utime(path)
            else:
                os.chmod(path, self.chance.choice((0o600, 0o644, 0o755)))

    def junk(self) -> None:
        """Leave a file that is ignored, as editors do."""
        if self.layout != 'file' and os.path.isdir(self.conf):
            name = self.chance.choice(('.a.conf.swp', 'a.conf~', 'x.tmp', '.#lock'))
            write(f'{self.conf}/{name}', self.text())

    def same_swap(self) -> None:
        """Swap in a set of identical files."""
        if self.layout == 'data' and all(map(os.path.islink, self.members())):
            swap(self.conf, {
                os.path.relpath(path, self.conf): reads(path)
                for path in self.members() if os.path.isfile(path)
            })


class Act(NamedTuple):
    """Something that can be done to a tree, and how often compared with others."""

    name: str
    weight: int = 2


CHANGES = (
    Act('replace', 6), Act('rewrite', 4), Act('append'), Act('truncate', 3),
    Act('several', 4), Act('burst', 1), Act('add', 3), Act('delete', 3),
    Act('rename', 3), Act('returns', 3), Act('vanish', 3), Act('kind', 3), Act('link'),
    Act('lock'),
    Act('swap', 8),
)
# The kubelet does nothing else.
SWAPS = Act('swap', 8), Act('vanish'), Act('kind')
INERT = Act('same'), Act('touch'), Act('junk'), Act('same_swap', 4)


def reads(path: str) -> str:
    """Return the text of a file."""
    with open(path, encoding='utf-8') as file:
        return file.read()


def loops(path: str) -> bool:
    """Return whether a path is a link to itself."""
    return os.path.islink(path) and os.readlink(path) == path


def remove(path: str) -> None:
    """Remove whatever is at a path, also nothing."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def clear(path: str) -> str:
    """Return a path that can be opened for writing, after removing what cannot."""
    if not os.path.isfile(path) or os.path.realpath(path) == '/dev/null':
        remove(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def put(path: str, text: str) -> None:
    """Rename a new file to a path, whatever is there, in a directory if need be."""
    if os.path.isdir(path):
        remove(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = f'{os.path.dirname(path)}/.new.tmp'
    with open(new, 'w', encoding='utf-8') as file:
        file.write(text)
    os.rename(new, path)
