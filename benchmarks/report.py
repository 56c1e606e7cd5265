"""BENCHMARKS.md and the plots, made from what results.json holds.

report.py makes them anew from the results that are there.
"""
from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HEAD = '''\
# Benchmarks

What pollreload costs, beside what a user would pick instead, on one machine.
`sh benchmarks/run.sh --runs 3` makes this page again, in about half an hour; with
`--quick` it measures less, in two minutes, and leaves this page alone. Absolute times
differ from machine to machine, so every target is a ratio of two that were measured
side by side, or a count: of several rounds a ratio is the median of what each gives.

Each rival is used as its documentation says: `watchfiles` with `force_polling`,
`watchdog` with its `PollingObserver`, `fswatch -m poll_monitor`, `monit` with
`if changed checksum`, `entr -n`, and the two shell loops of `benchmarks/rivals`. The
*floor* is a Python loop of 20 lines that does open, read, XXH3, close and
sigtimedwait, and nothing else.
'''
MEDIANS = (
    'The medians of {runs} runs, and their range. The tables and plots further down '
    'are those of the last run.'
)
NFS = (
    '| one poll on NFS | operations a poll, documented | [docs/filesystems.md]'
    '(docs/filesystems.md#nfs), counted in a guest of its own | | | | |'
)
PLOTS = {
    'idle': ('memory.svg', 'cpu.svg'),
    'many': ('files.svg',),
    'growth': ('growth.svg',),
    'latency': ('latency.svg',),
    'fleet': ('fleet.svg',),
    'spread': ('spread.svg',),
    'endurance': ('endurance.svg',),
}


def write(seen: Mapping[str, Any], out: Path) -> None:
    """Write the page and its plots below a directory."""
    from benchmarks import plots
    plots.draw(seen, out / 'benchmarks')
    (out / 'BENCHMARKS.md').write_text(page(seen))


def page(seen: Mapping[str, Any]) -> str:
    """Return the page."""
    parts = [HEAD]
    if seen['quick']:
        parts.append('**A quick run: smaller, shorter, and less to be trusted.**\n')
    results = seen['results']
    runs = max(len(row['values']) for each in results.values() for row in each['rows'])
    parts += ['## Targets\n']
    if runs > 1:
        parts += [wrapped(MEDIANS.format(runs=runs)), '']
    parts += [targets(seen), '']
    parts += ['## Where and with what\n', where(seen), '']
    for name, each in results.items():
        parts += [f'## {each["title"]}\n', wrapped(each['how']), '']
        for title, table in each['tables'].items():
            parts += [f'{title}:\n', grid(table), '']
        parts += [f'{wrapped(note)}\n' for note in each['notes']]
        parts += [f'![{each["title"]}](benchmarks/{plot})\n'
                  for plot in PLOTS.get(name, ())]
    return '\n'.join(parts).rstrip() + '\n'


def targets(seen: Mapping[str, Any]) -> str:
    """Return the table of all targets."""
    lines = [
        '| what | target | pollreload | beside it | ratio | range | |',
        '|---|---|---|---|---|---|---|',
    ]
    for each in seen['results'].values():
        for row in each['rows']:
            lines.append('| ' + ' | '.join((
                row['what'], row['target'], row['ours'], row['theirs'],
                ratio(row, row['value']), value_range(row),
                'met' if row['met'] else '**not met**',
            )) + ' |')
    return '\n'.join((*lines, NFS))


def ratio(row: Mapping[str, Any], value: float) -> str:
    """Return a ratio in the way that its limit is written."""
    if not row['ratio']:
        return ''
    return f'{value:.2f}' if row['limit'] >= 0.5 or not value else f'1/{1 / value:.0f}'


def value_range(row: Mapping[str, Any]) -> str:
    """Return the least and the greatest ratio of several runs, if they differ."""
    ends = [ratio(row, end) for end in (min(row['values']), max(row['values']))]
    return f'{ends[0]} to {ends[1]}' if ends[0] != ends[1] else ''


def merged(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the results of the last run, with the rows of the median of all.

    runs: name -> result, of each run. The values of a row in all runs stand in
    `values`; the rest of it is that of the run with the median value, or with the
    greatest if it is counted.
    """
    results = {}
    for name, last in runs[-1].items():
        rows = []
        for position, row in enumerate(last['rows']):
            same = [run[name]['rows'][position] for run in runs]
            ordered = sorted(same, key=lambda each: float(each['value']))
            chosen = ordered[-1 if row['counted'] else len(same) // 2]
            rows.append({**chosen, 'values': [each['value'] for each in same]})
        results[name] = {**last, 'rows': rows}
    return results


def where(seen: Mapping[str, Any]) -> str:
    """Return the machine and the versions."""
    machine = ', '.join(f'{name} {value}' for name, value in seen['machine'].items())
    versions = ', '.join(
        f'{name} {value or "(not here)"}' for name, value in seen['versions'].items()
    )
    return wrapped(f'{machine}; {seen["seconds"]} s in all.') + '\n\n' + wrapped(
        f'{versions}.',
    )


def grid(table: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of Markdown."""
    columns = list(dict.fromkeys(name for row in table.values() for name in row))
    lines = [f'| | {" | ".join(columns)} |', '|---' * (len(columns) + 1) + '|']
    for name, row in table.items():
        cells = ' | '.join(cell(row.get(column)) for column in columns)
        lines.append(f'| {name} | {cells} |')
    return '\n'.join(lines)


def cell(value: float | str | None) -> str:
    """Return what stands in a cell."""
    if isinstance(value, (int, float)):
        whole = value >= 1000 or value == int(value)
        return f'{value:,.0f}' if whole else f'{value:.3g}'
    return value or ''


def wrapped(paragraph: str) -> str:
    """Return a paragraph in lines."""
    return textwrap.fill(paragraph, 88, break_long_words=False, break_on_hyphens=False)


def plain(seen: Mapping[str, Any]) -> str:
    """Return all targets for a terminal, a line each."""
    return '\n'.join(
        f'{"met    " if row["met"] else "NOT MET"} {row["what"]}: {row["ours"]}'
        + (f' ({row["theirs"]}; {ratio(row, row["value"]) or "no ratio"})'
           if row['theirs'] else '')
        + f' [{row["target"]}]'
        for each in seen['results'].values() for row in each['rows']
    )


if __name__ == '__main__':
    from benchmarks.contenders import HERE
    write(json.loads((HERE / 'results.json').read_text()), HERE.parent)
