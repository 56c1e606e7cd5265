"""A change in a fleet of pods: when does each application have it?"""
from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.result import Result, Row, Scale, Table

SYNC, JITTER = 60.0, 0.5  # s; syncFrequency of a kubelet, and the factor on top of it
ANNOTATED = 0.3  # s; the longest swap of a pod that was annotated after the update
INTERVAL, SETTLE = 5.0, 1.0  # s; the defaults of pollreload
WITHDRAWN = (60.0, 120.0, 300.0)  # s
BIN = 10  # s
HOW = (
    '{pods:,} pods mount one ConfigMap that is replaced at second 0. The kubelet '
    'swaps the files when it synchronizes the pod, every 60 to 90 s (syncFrequency '
    '1m and its jitter), or within 0.3 s if the pod is annotated; pollreload polls '
    'every 5 s, waits 1 s for the version to settle, and up to --splay. In 12 '
    'updates on real clusters the swap came after 21 to 72 s, and the signal 1 to '
    '6 s later (docs/kubernetes.md).'
)

SPREAD = 'Seconds until a share of the pods is signalled'
LOADED = 'Pods that load a bad version'


class Rollout(NamedTuple):
    """How a change spreads: by the kubelet alone or by annotations, with a splay."""

    name: str
    splay: float = 0.0
    annotated: bool = False


ROLLOUTS = (
    Rollout('each pod annotated', annotated=True), Rollout('defaults'),
    Rollout('--splay 5m', splay=300.0), Rollout('--splay 30m', splay=1800.0),
)


def swap(rollout: Rollout, chance: random.Random) -> float:
    """Return the seconds until the kubelet has swapped the files of a pod.

    An update falls into a long period more often than into a short one, so the
    length of the period has a density that grows with it.
    """
    if rollout.annotated:
        return chance.uniform(0.0, ANNOTATED)
    shortest, longest = SYNC, SYNC * (1.0 + JITTER)
    period = math.sqrt(chance.uniform(shortest ** 2, longest ** 2))
    return chance.uniform(0.0, period)


def noticed(chance: random.Random) -> float:
    """Return the seconds from a swap until the new version is due."""
    return chance.uniform(0.0, INTERVAL) + SETTLE


def deliveries(rollout: Rollout, pods: int, seed: int = 1) -> list[float]:
    """Return the seconds until each pod is signalled, sorted."""
    chance = random.Random(seed)
    return sorted(
        swap(rollout, chance) + noticed(chance) + chance.uniform(0.0, rollout.splay)
        for _ in range(pods)
    )


def loaded(rollout: Rollout, withdrawn: float, pods: int, seed: int = 1) -> float:
    """Return the share of pods that load a version that is withdrawn later, in %.

    A pod loads it unless the old version is back before its splay is over, and never
    sees it if the kubelet comes only after it is withdrawn.
    """
    chance = random.Random(seed)
    count = 0
    for _ in range(pods):
        first = swap(rollout, chance)
        signal = first + noticed(chance) + chance.uniform(0.0, rollout.splay)
        again = withdrawn + chance.uniform(0.0, ANNOTATED)
        if not rollout.annotated:
            again = first
            while again < withdrawn:
                again += SYNC * (1.0 + chance.uniform(0.0, JITTER))
        back = again + chance.uniform(0.0, INTERVAL)
        count += first < withdrawn and signal < back
    return 100.0 * count / pods


def share(times: Sequence[float], percent: float) -> float:
    """Return the time after which a share of the pods is signalled."""
    return times[math.ceil(len(times) * percent / 100.0) - 1]


def busiest(times: Sequence[float], seconds: int) -> int:
    """Return the most signals in any interval of so many seconds."""
    return max(Counter(int(at / seconds) for at in times).values())


def run(scale: Scale) -> Result:
    """Simulate each rollout."""
    times = {each.name: deliveries(each, scale.pods) for each in ROLLOUTS}
    spread: Table = {
        name: {
            '50 %': share(found, 50.0), '99 %': share(found, 99.0), 'all': found[-1],
            'busiest second': busiest(found, 1),
        } for name, found in times.items()
    }
    withdrawn: Table = {
        each.name: {
            f'after {after:.0f} s': loaded(each, after, scale.pods)
            for after in WITHDRAWN
        } for each in ROLLOUTS
    }
    longest = SYNC * (1.0 + JITTER) + INTERVAL + SETTLE
    slow = ROLLOUTS[-1]
    even = scale.pods * BIN / slow.splay
    most = busiest(times[slow.name], BIN)
    return Result(
        'A change in a fleet', HOW.format(pods=scale.pods), [Row(
            f'{scale.pods:,} pods, defaults: the last is signalled',
            f'within {longest:g} s', times['defaults'][-1] / longest, 1.0,
            f'{times["defaults"][-1]:.1f} s', f'{longest:g} s', True, True,
        ), Row(
            f'{scale.pods:,} pods, {slow.name}: busiest {BIN} s',
            'at most twice the mean', most / even, 2.0, f'{most} signals',
            f'mean {even:.0f}', True, True,
        )],
        {
            f'{SPREAD}, and signals a second': spread,
            f'{LOADED}, in percent, by when it is withdrawn': withdrawn,
        },
        [
            'The kubelet decides, not the interval: --interval 1s would save 2 s '
            'in the mean. A splay bounds the reloads a second, and gives time to '
            'withdraw a version: a pod whose files are as before when its splay '
            'ends does nothing. A version that --validate refuses is loaded by no '
            'pod at all.',
        ],
        {'times': {
            name: [share(found, percent) for percent in range(1, 101)]
            for name, found in times.items()
        }},
    )
