"""A thousand watches that start together: when do they poll?"""
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from benchmarks.result import Result, Row
from pollreload.core.observation import next_poll
from pollreload.core.state import World

WATCHES, INTERVAL = 1000, 5.0
HOW = (
    '{watches:,} watches whose first poll is in the same instant, on a virtual clock: '
    'the time of each poll is from pollreload.core.observation.next_poll, the code '
    'that runs, and '
    '1 ms of wake-up is put upon it. Polls are counted by the second from the second '
    'interval on.'
)


def times(interval: float, intervals: int, chance: random.Random) -> list[float]:
    """Return when one watch polls that starts at 1000.0, on a clock of its own."""
    world = cast(World, SimpleNamespace(jitter=chance.random))
    now, poll_at, polled = 1000.0, 0.0, []
    end = now + interval * intervals
    while now < end:
        polled.append(now)
        poll_at = next_poll(poll_at, now, interval, world)
        now = poll_at + 0.001
    return polled


def fleet(
        watches: int, interval: float, intervals: int = 13, seed: int = 1,
) -> Counter[int]:
    """Return second -> polls in it, of watches that all start in second 0."""
    chance = random.Random(seed)
    return Counter(
        int(at - 1000.0) for _ in range(watches)
        for at in times(interval, intervals, chance)
    )


def steady(polls: Counter[int], interval: float, intervals: int = 13) -> Sequence[int]:
    """Return the polls in each second from the second interval on."""
    return [
        polls[second] for second in range(int(interval), int(interval * intervals) - 1)
    ]


def peak(polls: Sequence[int]) -> float:
    """Return the busiest second as a multiple of the mean."""
    return max(polls) / (sum(polls) / len(polls))


def run() -> Result:
    """Count the polls of a fleet in each second."""
    polls = fleet(WATCHES, INTERVAL)
    after = steady(polls, INTERVAL)
    seeds = [peak(steady(fleet(WATCHES, INTERVAL, seed=at), INTERVAL))
             for at in range(20)]
    others: dict[str, dict[str, Any]] = {}
    for interval in (1.0, 5.0, 30.0, 60.0):
        seen = steady(fleet(WATCHES, interval), interval)
        others[f'{interval:g} s'] = {
            'mean a second': sum(seen) / len(seen), 'busiest second': float(max(seen)),
            'ratio': peak(seen),
        }
    return Result(
        'A fleet', HOW.format(watches=WATCHES), [Row(
            f'{WATCHES:,} watches started together, interval {INTERVAL:g} s: busiest '
            'second', 'at most 1.5 times the mean', peak(after), 1.5,
            f'{max(after)} polls', f'mean {sum(after) / len(after):.0f}', True, True,
        )],
        {'By interval': others},
        [
            f'The first poll of all is at once: {polls[0]} polls in the first second, '
            f'their second polls among them. Over 20 seeds the ratio is '
            f'{min(seeds):.2f} to {max(seeds):.2f}.',
        ],
        [polls[second] for second in range(int(INTERVAL * 13) - 1)],
    )
