"""Random histories of the simulated world: what is true throughout and in the end."""
from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pollreload.settings import Settings, Signal
from tests.support.simulation import Simulation

Act = Callable[[Simulation], object]

VERSIONS: dict[str, Act] = {
    'A': lambda world: world.put('A'),
    'B': lambda world: world.put('B'),
    'C': lambda world: world.put('C'),
    'empty': lambda world: world.put('empty'),
    'gone': lambda world: world.put('gone'),
    'unreadable': lambda world: world.hide(),
    'away': lambda world: world.hide('no such file'),
    'keeps changing': lambda world: world.put('torn', changing=True),
}
OTHERS: dict[str, Act] = {
    'absent': lambda world: world.end_all(),
    'start': lambda world: world.restart() if world.root() is None else None,
    'second': lambda world: world.start(),
    'restart': lambda world: world.restart(),
    'fork': lambda world: world.fork(),
    'dies': lambda world: world.alter_root(dies=True),
    'refuses': lambda world: world.alter_root(refuses=True),
    'stopped': lambda world: world.alter_root(stopped=True),
    'goes on': lambda world: world.go_on(),
    'deaf': lambda world: world.alter_root(deaf=True),
    'no handler': lambda world: world.alter_root(disposition='default'),
    'ignores': lambda world: world.alter_root(disposition='ignored'),
    'unknown': lambda world: world.alter_root(disposition='unknown'),
    'ready': lambda world: world.make_ready(),
    'invalid': lambda world: world.refuse_for(validate=7.0),
    'unverified': lambda world: world.refuse_for(verify=7.0),
    'hang': lambda world: world.hang(12.0),
    'restarted': lambda world: world.crash(keep=True),
    'HUP': lambda world: world.send_hup(),
    'starts slowly': lambda world: world.start_slowly(),
    'daemonized': lambda world: world.daemonize(),
    'hands over': lambda world: world.alter_root(hands_over=True),
    'upgraded': lambda world: world.upgrade(),
    'retired': lambda world: world.retire(),
    'renamed': lambda world: world.rename(),
    'socket': lambda world: world.bind(),
}
# What pollreload cannot read for a while, and what may happen meanwhile.
SAME: dict[str, Act] = {
    'shown': lambda world: world.put('A'),
    **{name: VERSIONS[name] for name in ('unreadable',)},
    **{name: OTHERS[name] for name in ('socket', 'hang', 'restarted', 'HUP')},
}
FORGETS: dict[str, Act] = {'forgotten': lambda world: world.crash(keep=False)}
EVENTS = {**VERSIONS, **OTHERS, **FORGETS}
PAUSES = st.sampled_from((0.1, 0.3, 1.0, 2.0, 4.0, 11.0, 33.0, 100.0))


def history(*names: str) -> st.SearchStrategy[list[tuple[str, float]]]:
    """Return a strategy for histories of these events, each followed by a pause."""
    return st.lists(st.tuples(st.sampled_from(names), PAUSES), max_size=14)


@st.composite
def watches(draw: st.DrawFn) -> Settings:
    """Return the settings of any watch."""
    signals = (1, 'SIGHUP'), (1, 'SIGHUP'), (15, 'SIGTERM')
    number, name = draw(st.sampled_from(signals))
    select = draw(st.sampled_from(('root', 'roots', 'all', 'newest')))
    return Settings(
        paths=('/c',), process='app', signal=Signal(number, name),
        select=select,
        settle=draw(st.sampled_from((1.0, 0.0, 3.0))),
        empty_grace=draw(st.sampled_from((6.0, 30.0, 90.0))),
        survive=draw(st.sampled_from((1.0, 0.0, 4.0))),
        splay=draw(st.sampled_from((0.0, 7.0))),
        max_wait=draw(st.sampled_from((0.0, 0.0, 15.0))),
        min_interval=draw(st.sampled_from((0.0, 0.0, 20.0))),
        on_missing=draw(st.sampled_from(('hold', 'hold', 'notify'))),
        validate=draw(st.sampled_from(((), ('validate',)))),
        verify=draw(st.sampled_from(((), ('verify',)))),
        # Workers have no workers of their own.
        verify_workers=draw(st.booleans()) and select.startswith('root'),
        command_timeout=5.0,
        on_start=draw(st.sampled_from(('auto', 'always'))),
    )


def played(
        watch: Settings, layout: str, events: list[tuple[str, float]],
        targets: int = 1,
) -> Simulation:
    """Return the world after a history."""
    world = Simulation(watch, layout, targets=targets)
    world.run(3.0)
    for name, pause in events:
        {**EVENTS, **SAME}[name](world)
        world.run(pause)
    return world


LAYOUTS = st.sampled_from(('file', 'directory'))
many = settings(
    max_examples=300, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@many
@given(watches(), LAYOUTS, history(*EVENTS))
def test_last_version_is_delivered(watch, layout, events):
    """The last version reaches each target that lives long enough and has a handler.

    On the way the simulation checks that no target is signalled twice for a version
    unless an attempt failed, that no target without a handler is signalled, that every
    event is true, and that no step is a busy loop.
    """
    world = played(watch, layout, events)

    world.converge()


@many
@given(watches(), LAYOUTS, history(*OTHERS))
def test_unchanged_version_is_never_delivered(watch, layout, events):
    """Whatever the targets and pollreload do, there is no signal without a change."""
    world = played(watch._replace(on_start='auto'), layout, events)

    assert world.sent == ()


@many
@given(watches(), LAYOUTS, history(*SAME))
def test_same_bytes_are_never_delivered(watch, layout, events):
    """Whatever could not be read in between, and for however long."""
    world = played(watch._replace(on_start='auto'), layout, events)
    world.put('A')
    world.run(200.0)

    assert world.sent == ()


@many
@given(watches(), LAYOUTS, history(*EVENTS))
def test_idle_poll_has_no_effect(watch, layout, events):
    """Once the version is delivered, a poll logs, sends and saves nothing."""
    world = played(watch, layout, events)
    world.converge()
    world.run(2 * watch.interval)
    logged, sent, saved = len(world.events), len(world.sent), world.ledger

    world.run(100.0)

    assert (len(world.events), len(world.sent)) == (logged, sent)
    assert world.ledger is saved
