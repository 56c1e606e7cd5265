"""The plots of BENCHMARKS.md."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore]

mpl.use('Agg')
import matplotlib.pyplot as plt  # type: ignore[import-not-found,unused-ignore]

OURS, OTHERS = '#0072b2', '#b0b0b0'  # told apart by who does not see colours, too
CYCLE = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#555555')
# The same figures give the same file.
mpl.rcParams.update({
    'svg.hashsalt': 'pollreload', 'svg.fonttype': 'path', 'font.size': 9,
    'axes.spines.top': False, 'axes.spines.right': False, 'figure.dpi': 100,
    'axes.axisbelow': True,
})
KIND = 'svg'  # or png, to look at


def draw(seen: Mapping[str, Any], out: Path) -> None:
    """Draw all that there are figures for."""
    drawn: dict[str, Callable[[Any, Path], None]] = {
        'idle': idle, 'many': many, 'growth': growth, 'latency': latency,
        'fleet': fleet, 'spread': spread, 'endurance': endurance,
    }
    for name, function in drawn.items():
        if name in seen['results']:
            function(seen['results'][name]['points'], out)
            plt.close('all')


def save(figure: Any, out: Path, name: str) -> None:
    """Write a plot."""
    figure.tight_layout()
    metadata = {'Date': None} if KIND == 'svg' else {}
    figure.savefig(out / f'{name}.{KIND}', metadata=metadata)


def spelled(*axes: Any) -> None:
    """Write the numbers of logarithmic axes as a person would, and few of them."""
    for axis in axes:
        axis.set_major_formatter('{x:g}')
        axis.set_minor_formatter('')


def bars(axes: Any, values: Mapping[str, float], label: str, form: str) -> None:
    """Draw horizontal bars, the shortest at the top, ours in colour."""
    names = sorted(values, key=lambda name: -values[name])
    colours = [OURS if name.startswith('pollreload') else OTHERS for name in names]
    drawn = axes.barh(names, [values[name] for name in names], color=colours)
    axes.bar_label(drawn, fmt=form, padding=3)
    axes.margins(x=0.15)
    axes.set_xlabel(label)


def idle(points: Mapping[str, Sequence[float | None]], out: Path) -> None:
    """Draw the memory, and the CPU of a poll, with one file."""
    figure, axes = plt.subplots(figsize=(7, 3.4))
    memory = {name: (each[0] or 0) / 1e6 for name, each in points.items()}
    bars(axes, memory, 'resident memory, MB (one file, steady)', '%.1f')
    save(figure, out, 'memory')
    figure, axes = plt.subplots(figsize=(7, 3.2))
    cpu = {name: each[1] * 1000 for name, each in points.items() if each[1]}
    axes.set_xscale('log')
    bars(axes, cpu, 'CPU of an idle poll, ms (one file, logarithmic)', '%.2g')
    spelled(axes.xaxis)
    save(figure, out, 'cpu')


def many(points: Mapping[str, Sequence[float]], out: Path) -> None:
    """Draw the CPU of a poll, and the memory, with many files."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8))
    bars(left, {name: each[1] * 1000 for name, each in points.items()},
         'CPU of a poll, ms', '%.3g')
    bars(right, {name: each[0] / 1e6 for name, each in points.items() if each[0]},
         'resident memory, MB', '%.1f')
    save(figure, out, 'files')


def growth(points: Mapping[str, Mapping[str, Sequence[float]]], out: Path) -> None:
    """Draw how both grow with the number of files."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    for (name, each), colour in zip(points.items(), CYCLE, strict=False):
        counts = [int(count) for count in each if int(count) > 1]
        rows = [each[str(count)] for count in counts]
        left.loglog(counts, [row[0] * 1000 for row in rows], 'o-', c=colour, label=name)
        right.loglog(counts, [row[1] / 1e6 for row in rows], 'o-', c=colour, label=name)
    for axes, label in ((left, 'CPU of a poll, ms'), (right, 'resident memory, MB')):
        axes.set_xlabel('files of 2 KB')
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        spelled(axes.xaxis, axes.yaxis)
    save(figure, out, 'growth')


def latency(points: Mapping[str, Sequence[float]], out: Path) -> None:
    """Draw which share of the changes was told within a time."""
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for (name, values), colour in zip(points.items(), CYCLE, strict=False):
        if values:
            shares = [(at + 1) / len(values) for at in range(len(values))]
            axes.step(
                [value * 1000 for value in values], shares, c=colour, label=name,
                where='post', lw=2 if name == 'pollreload' else 1,
            )
    axes.set_xscale('log')
    axes.set_xlabel('from the change to the signal, ms (logarithmic)')
    axes.set_ylabel('share of the changes')
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    spelled(axes.xaxis)
    save(figure, out, 'latency')


def fleet(points: Sequence[int], out: Path) -> None:
    """Draw the polls of a fleet in each second."""
    figure, axes = plt.subplots(figsize=(7, 2.4))
    axes.bar(range(len(points)), points, color=OURS)
    mean = sum(points[5:]) / len(points[5:])
    axes.axhline(1.5 * mean, color='#d55e00', ls='--', label='1.5 times the mean')
    axes.set_xlabel('seconds after 1,000 watches started together (interval 5 s)')
    axes.set_ylabel('polls')
    axes.legend(frameon=False)
    save(figure, out, 'fleet')


def spread(points: Mapping[str, Mapping[str, Sequence[float]]], out: Path) -> None:
    """Draw the share of a fleet that is signalled, over the time."""
    figure, axes = plt.subplots(figsize=(7, 2.8))
    for (name, times), colour in zip(points['times'].items(), CYCLE, strict=False):
        axes.plot([*times], range(1, 101), c=colour, label=name)
    axes.set_xscale('log')
    spelled(axes.xaxis)
    axes.set_ylim(0, 100)
    axes.set_xlabel('seconds after the ConfigMap is replaced')
    axes.set_ylabel('pods signalled, %')
    axes.legend(frameon=False, loc='center left', bbox_to_anchor=(1.0, 0.5))
    save(figure, out, 'spread')


def endurance(points: Sequence[Sequence[Sequence[int]]], out: Path) -> None:
    """Draw the memory over the polls."""
    figure, axes = plt.subplots(figsize=(7, 2.4))
    for at, (samples, colour) in enumerate(zip(points, CYCLE, strict=False), 1):
        axes.plot([each[0] for each in samples], [each[1] / 1e6 for each in samples],
                  c=colour, label=f'watch {at}')
    most = max(each[1] for samples in points for each in samples)
    axes.set_ylim(0, 1.4e-6 * most)
    axes.set_xlabel('polls')
    axes.set_ylabel('resident memory, MB')
    axes.legend(frameon=False)
    save(figure, out, 'endurance')
