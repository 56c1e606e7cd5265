"""Run the behaviours and write the page: python -m comparison [--page | --only TOOL...]

--only: run these tools again, and take the others from results.json.
--page: run nothing; write the page from results.json.
"""
from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from comparison import page, tools
from comparison.behaviours import BEHAVIOURS, Behaviour, Cell

RESULTS = Path(__file__).with_name('results.json')
PAGE = Path(__file__).resolve().parent.parent / 'docs' / 'comparison.md'
AT_ONCE = 8  # most of a behaviour is waiting


def cell(name: str, behaviour: Behaviour) -> Cell:
    """Return what happened with a tool in a behaviour, and print it."""
    try:
        got = behaviour.run(tools.RIVALS[name].tool)
    except Exception:
        print(f'{name}, {behaviour.title}:\n{traceback.format_exc()}', file=sys.stderr)
        raise
    print(f'{name}, {behaviour.title}: {got.text}', flush=True)
    return got


def main(argv: Sequence[str] | None = None) -> int:
    """Run all that is asked for, and write the results and the page."""
    parser = argparse.ArgumentParser(prog='comparison')
    parser.add_argument('--only', action='append', choices=list(tools.RIVALS))
    parser.add_argument('--page', action='store_true')
    args = parser.parse_args(argv)
    if args.page:
        PAGE.write_text(page.page(page.load(RESULTS.read_text('utf-8'))), 'utf-8')
        return 0
    only = args.only
    seen = page.Seen({}, {}, '')
    if only and RESULTS.exists():
        seen = page.load(RESULTS.read_text('utf-8'))
    names = [
        name for name, rival in tools.RIVALS.items()
        if name in (only or tools.RIVALS) and tools.here(rival)
    ]
    for name in set(only or tools.RIVALS) - set(names):
        print(f'{name}: left out, it is not on this machine')
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {
            (name, at): pool.submit(cell, name, behaviour)
            for name in names for at, behaviour in enumerate(BEHAVIOURS)
        }
    for name in names:
        seen.cells[name] = [
            futures[name, at].result() for at in range(len(BEHAVIOURS))
        ]
        seen.versions[name] = tools.version(tools.RIVALS[name].package)
    ordered = page.Seen(
        {name: seen.cells[name] for name in tools.RIVALS if name in seen.cells},
        seen.versions, tools.beside(),
    )
    RESULTS.write_text(json.dumps(ordered._asdict(), indent=1) + '\n', 'utf-8')
    PAGE.write_text(page.page(ordered), 'utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
