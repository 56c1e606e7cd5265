"""docs/comparison.md: whole, and true of pollreload as it is now.

`sh comparison/run.sh` makes the page, and runs the others too.
"""
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from comparison import page, tools
from comparison.behaviours import BEHAVIOURS, Cell
from comparison.world import Command, Place, World, sleeping

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'comparison.md'
OPTIONAL = {'nodemon', 'chokidar-cli'}  # of a registry that is not everywhere


def rows() -> list[list[str]]:
    """Return the cells of the page's table of what happened, its head first."""
    text = PAGE.read_text('utf-8').partition('\n## What happened\n')[2]
    lines = text.partition('\n## ')[0].splitlines()
    cells = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in lines if line.startswith('|')
    ]
    return [row for row in cells if row[0] != '---']


def test_the_page_is_made_from_the_results():
    """No cell was written by hand: the page is what the script makes of its results."""
    results = (ROOT / 'comparison' / 'results.json').read_text('utf-8')
    assert PAGE.read_text('utf-8') == page.page(page.load(results))


def test_the_table_has_every_behaviour_and_every_tool():
    """Each of them is a row, each tool a column, and no cell is empty."""
    head, *body = rows()
    assert len(BEHAVIOURS) == 17
    assert head[0] == 'behaviour'
    assert set(tools.RIVALS) - OPTIONAL <= set(head[1:]) <= set(tools.RIVALS)
    assert [row[0] for row in body] == [
        f'{at + 1}. {behaviour.title}' for at, behaviour in enumerate(BEHAVIOURS)
    ]
    for row in body:
        assert len(row) == len(head)
        assert all(cell[0] in page.RIGHT + page.WRONG for cell in row[1:]), row


def test_each_cell_that_is_not_right_for_us_has_its_line():
    """Below the table is a line for each of pollreload's cells that is not right."""
    cells = [Cell(True, 'notified once')] * len(BEHAVIOURS)
    cells[3] = Cell(False, 'notified of the empty file')
    seen = page.Seen({'pollreload': cells}, {'pollreload': 'pollreload 1'}, '')
    lines = page.ours(seen)
    assert len(lines) == 1
    assert BEHAVIOURS[3].title in lines[0]
    assert 'notified of the empty file' in lines[0]


@pytest.mark.timeout(240)
def test_pollreload_does_what_its_column_says():
    """The whole column is run again with real processes, and says the same."""
    head, *body = rows()
    at = head.index('pollreload')
    # They wait for most of their time, so all of them at once.
    with ThreadPoolExecutor(len(BEHAVIOURS)) as pool:
        seen = list(pool.map(lambda each: each.run(tools.pollreload), BEHAVIOURS))
    assert [page.mark(cell) for cell in seen] == [row[at] for row in body]


def test_the_remark_on_a_watched_directory_is_true():
    """A watched directory that loses everything at once is distrusted."""
    def within(place: Place) -> Command:
        return tools.pollreload(place._replace(whole=True))

    behaviour = next(each for each in BEHAVIOURS if each.title.startswith('vanished'))
    notified = 'same bytes: not notified; other bytes: notified once'
    assert behaviour.run(within) == Cell(True, notified)


def test_tool_that_notifies_no_process_is_not_right():
    """The control: the judge notices that nothing was notified."""
    behaviour = next(each for each in BEHAVIOURS if each.title == 'zombie')

    def idle(place: Place) -> Command:
        return Command(['sleep', '1000'], ready=sleeping)

    assert behaviour.run(idle) == Cell(False, 'not notified')


def test_nothing_is_left_of_a_world():
    """Files, programs and the tool are gone when a behaviour ends, also by an error."""
    pids: list[int] = []
    tops: list[Path] = []

    def fail() -> None:
        with World(tools.pollreload) as world:
            app = world.app('master')
            world.watch()
            assert world.watcher is not None
            pids.extend((app.pid, world.watcher.pid))
            tops.append(world.top)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not tops[0].exists()
    assert not any(Path(f'/proc/{pid}').exists() for pid in pids)
