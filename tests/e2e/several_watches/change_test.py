"""A config file that changes."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from pollreload.system import ledger_file, process_table, procfs
from tests.servers.harness import until
from tests.support.several import put, table
from tests.support.several_apps import App, current_watches, fails, told
from tests.support.sidecar import Mark, check, unique, write


def test_a_watch_that_stays_is_not_touched(config: str, apps: tuple[App, App]) -> None:
    """What changes of one is nothing to the other, nor delivered again to itself."""
    one, two = apps
    put(config, one.table(), two.table())
    with current_watches(config) as it:
        assert told(it, one)
        assert told(it, two)
        put(config, one.table(), two.table(interval='30m'))
        it.rest()
        again = it.until('started', watch='two')
        it.poll()
        assert one.unsignalled()
        assert two.unsignalled()
        assert told(it, one)
        assert told(it, two)
        assert it.poll() == []

    assert 'every 1800 s' in again['message']
    assert it.named('one') == [
        'started', 'baseline', *(['changed', 'signalled', 'delivered'] * 2),
    ]
    assert it.named('two') == [
        'started', 'baseline', 'changed', 'signalled', 'delivered', 'started',
        'changed', 'signalled', 'delivered',
    ]
    assert it.named('') == ['changed']


def test_what_says_the_same_is_nothing(config: str, apps: tuple[App, App]) -> None:
    """The same bytes in another file are no change; a comment is one without a deed."""
    one, two = apps
    put(config, one.table(), two.table())
    with current_watches(config) as it:
        put(config, one.table(), two.table())
        same = it.rest()
        put(config, two.table() + '# new\n', one.table())
        comment = it.rest()
        assert told(it, one)
        assert told(it, two)

    assert same == []
    assert [each['event'] for each in comment] == ['changed']
    assert it.count('started') == 2


def test_what_is_due_stays_due(config: str, apps: tuple[App, App]) -> None:
    """And what was counted goes on: for it is the same version, and the same target."""
    one, two = apps
    put(config, one.table(validate='false'), two.table())
    with current_watches(config) as it:
        one.change()
        for times in (1, 2):
            it.poll()
            before = fails(it, 'one', times)
        put(config, one.table(validate='sh -c "exit 3"'), two.table())
        it.rest()
        it.until('held', watch='one', reason='validation failed')
        assert fails(it, 'one', before + 1) > before
        assert one.unsignalled()
        put(config, one.table(validate='true'), two.table())
        it.rest()
        it.until('delivered', watch='one')
        assert one.target.read() == 'HUP'
        assert one.unsignalled()


def test_signals_are_counted_over_a_change(tmp_path: Path, config: str) -> None:
    """Three in vain are the most, whatever else is changed in the meantime."""
    app = App(tmp_path, 'one')
    with app.target:
        put(config, app.table(verify='false', command_timeout='10ms'))
        with current_watches(config) as it:
            app.change()
            for times in range(1, 4):
                it.poll()
                assert app.target.read() == 'HUP'
                it.until('failed', watch='one')
                put(config, app.table(
                    verify='false', command_timeout='10ms', interval=f'{times}h',
                    rehash=f'{times}m',
                ))
                it.rest()
            it.poll()
            it.until('held', watch='one', reason='limit')
            assert app.unsignalled()


def test_another_signal_delivers_what_is_due(
        config: str, apps: tuple[App, App],
) -> None:
    """To the same program by another signal, a version that it did not have."""
    one, two = apps
    put(config, one.table(validate='false'), two.table())
    with current_watches(config) as it:
        one.change()
        it.poll()
        it.until('held', watch='one', reason='validation failed')
        put(config, one.table(signal='USR1'), two.table())
        it.rest()
        it.until('delivered', watch='one', signal='SIGUSR1')
        assert one.target.read() == 'USR1'
        assert it.poll() == []
        # At the start, and for the watch with another signal.
        assert it.named('one').count('baseline') == 2
    assert one.unsignalled()


def test_another_process_is_notified_of_what_is_due(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """A name that was wrong is fixed: nothing is lost, under the same name."""
    one, two = apps
    wrong = table(name='one', path=one.conf, process=unique('wrong'))
    put(config, wrong, two.table())
    with current_watches(config) as it:
        one.change()
        it.poll()
        it.until('held', watch='one', reason='no target')
        put(config, one.table(), two.table())
        it.rest()
        it.until('delivered', watch='one')
        assert one.target.read() == 'HUP'
        assert it.poll() == []


def test_other_paths_are_delivered_if_something_was_due(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """A path that was wrong is fixed: every target that is due is notified."""
    one, two = apps
    write(tmp_path / 'other.conf', 'first')
    put(config, one.table(validate='false'), two.table())
    with current_watches(config) as it:
        one.change()
        it.poll()
        it.until('held', watch='one', reason='validation failed')
        new = table(name='one', path=f'{tmp_path}/other.conf', process=one.comm)
        put(config, new, two.table())
        it.rest()
        it.until('delivered', watch='one')
        assert one.target.read() == 'HUP'
        # And no one where nothing was.
        put(config, new, two.table(path=[two.conf, f'{tmp_path}/other.conf']))
        it.rest()
        it.until('baseline', watch='two')
        assert it.poll() == []
        assert one.unsignalled()
        assert two.unsignalled()


def test_work_under_way_is_begun_again_by_other_settings(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """As at a restart, and only in a watch whose settings are other ones."""
    one, two = apps
    write(tmp_path / 'run', 'exec > $2\necho $1\nsleep 1000\n')
    with Mark(tmp_path / 'mark') as mark:
        def runs(word: str) -> str:
            return f'sh {tmp_path}/run {word} {mark.path}'

        put(config, one.table(validate=runs('first')), two.table())
        with current_watches(config) as it:
            one.change()
            it.poll()
            assert mark.read() == 'first'
            put(config, one.table(validate=runs('first')), two.table(rehash='9m'))
            it.rest()
            it.until('started', watch='two')
            assert 'under way: validate' in it.statuses()['one']
            put(config, one.table(validate=runs('second')), two.table())
            it.rest()
            assert mark.read() == 'second'
            it.stop()
        mark.close()
        assert mark.read() == ''


@pytest.mark.parametrize('on_start', ['never', 'auto'])
def test_who_is_notified_from_now_on_may_not_have_what_is_done(
        on_start: str, config: str, apps: tuple[App, App],
) -> None:
    """Another is notified once, unless --on-start never says that it reads by itself.
    """
    one, two = apps
    put(config, one.table())
    with current_watches(config) as it:
        assert told(it, one)
        two.conf = one.conf
        put(
            config, table(name='one', path=one.conf, process=two.comm),
            on_start=on_start,
        )
        it.rest()
        it.until('baseline', watch='one')
        if on_start == 'auto':
            it.until('delivered', watch='one')
            assert two.target.read() == 'HUP'
        assert it.poll() == []
        assert two.unsignalled()
        assert one.unsignalled()
        one.change()
        it.poll()
        assert two.target.read() == 'HUP'
        assert one.unsignalled()


def test_one_that_is_removed_stops_and_lets_go_of_its_ledger(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """A check may have it then; the others go on."""
    one, two = apps
    path = str(tmp_path / 'ledger')
    args = ('--process', two.comm, '--state-file', path, two.conf)
    put(config, one.table(), two.table(state_file=path))
    with current_watches(config) as it:
        assert check(*args).status == 75
        put(config, one.table())
        it.rest()
        gone = it.until('stopped', watch='two')
        two.change()
        it.poll()
        run = check(*args)
        assert two.target.read() == 'HUP'
        assert told(it, one)
        assert it.statuses().keys() == {'one', ''}
        put(config, one.table(), two.table(state_file=path))
        it.rest()
        it.until('started', watch='two')
        assert it.poll() == []
        assert told(it, two)

    assert gone['reason'] == 'config'
    assert run.status == 0
    assert not it.count('failed')
    # It goes on with what the check has done.
    assert it.named('two').count('baseline') == 1


def test_one_that_is_new_begins(config: str, apps: tuple[App, App]) -> None:
    """With a baseline of its own, and without a line of the others."""
    one, two = apps
    put(config, one.table())
    with current_watches(config) as it:
        put(config, two.table(), one.table())
        it.rest()
        it.until('baseline', watch='two')
        assert it.statuses().keys() == {'one', 'two', ''}
        assert told(it, two)
        assert told(it, one)

    assert it.named('one').count('started') == 1


def test_one_that_is_removed_while_it_acts_is_broken_off(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Its command ends with it."""
    one, two = apps
    write(tmp_path / 'run', 'exec > "$1"\necho run\nsleep 1000 & wait\n')
    with Mark(tmp_path / 'mark') as mark:
        put(config, one.table(), two.table(validate=f'sh {tmp_path}/run {mark.path}'))
        with current_watches(config) as it:
            two.change()
            it.poll()
            assert mark.read() == 'run'
            put(config, one.table())
            it.rest()
            it.until('stopped', watch='two')
            mark.close()
            assert mark.read() == ''
            assert told(it, one)
    assert two.unsignalled()


def test_one_that_gets_another_name_goes_on(
        config: str, apps: tuple[App, App],
) -> None:
    """It has the same paths and target, so it is the same watch."""
    one, two = apps
    put(config, one.table(), two.table())
    with current_watches(config) as it:
        assert told(it, one)
        one.name = 'uno'
        put(config, one.table(), two.table())
        it.rest()
        it.until('started', watch='uno')
        assert it.poll() == []
        assert told(it, one)

    assert 'baseline' not in it.named('uno')
    assert not it.count('stopped', reason='config')


def test_a_ledger_goes_along(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """To another file, and away; what is known stays known in each."""
    one, two = apps
    old, new = f'{tmp_path}/old', f'{tmp_path}/new'
    put(config, one.table(state_file=old), two.table())
    with current_watches(config) as it:
        assert told(it, one)
        before = ledger_file.peek(old)
        put(config, one.table(state_file=new), two.table())
        it.rest()
        it.until('started', watch='one')
        it.poll()
        assert ledger_file.busy(new)
        assert not ledger_file.busy(old)
        after = ledger_file.peek(new)
        put(config, one.table(), two.table())
        it.rest()
        assert not ledger_file.busy(new)
        assert told(it, one)
        put(config, one.table(state_file=old), two.table())
        it.rest()
        assert ledger_file.busy(old)
        assert told(it, one)
        last = ledger_file.peek(old)

    assert before
    assert after
    assert last
    assert before['done'] == after['done'] != last['done']
    assert not it.count('failed')
    assert it.named('one').count('baseline') == 1


def test_another_target_has_the_same_ledger(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """It is written again under its new name, and goes on."""
    one, _ = apps
    path = f'{tmp_path}/ledger'
    put(config, one.table(state_file=path))
    with current_watches(config) as it:
        before = ledger_file.peek(path)
        put(config, one.table(state_file=path, signal='USR1'))
        it.rest()
        it.poll()
        after = ledger_file.peek(path)
        assert not it.count('failed')
    with current_watches(config) as again:
        assert again.poll() == []

    assert before
    assert after
    assert before['key'] != after['key']
    assert again.named('one') == ['started']


def test_two_may_swap_their_ledgers(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Each goes on with what it knows, in the file that was the other's."""
    one, two = apps
    first, second = f'{tmp_path}/first', f'{tmp_path}/second'
    put(config, one.table(state_file=first), two.table(state_file=second))
    with current_watches(config) as it:
        assert told(it, one)
        assert told(it, two)
        before = ledger_file.peek(first), ledger_file.peek(second)
        put(config, one.table(state_file=second), two.table(state_file=first))
        it.rest()
        it.poll()
        after = ledger_file.peek(first), ledger_file.peek(second)
        assert ledger_file.busy(first)
        assert ledger_file.busy(second)
        assert told(it, one)
        assert told(it, two)
        assert not it.count('failed'), it.seen
    one.change()
    with current_watches(config) as again:
        assert one.target.read() == 'HUP'
        assert again.poll() == []

    assert all(before)
    assert [each and each['key'] for each in after] == [
        each and each['key'] for each in before[::-1]
    ]
    assert again.count('baseline') == 0
    assert again.count('failed') == 0


def test_one_may_have_the_ledger_of_one_that_is_removed(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """Its lock is free by then; what is in it is of another, and is said to be."""
    one, two = apps
    path = f'{tmp_path}/ledger'
    put(config, one.table(), two.table(state_file=path))
    with current_watches(config) as it:
        put(config, one.table(state_file=path))
        it.rest()
        it.poll()
        assert told(it, one)


def opened(pid: int) -> int:
    """Return how many descriptors and children a process has."""
    children = [
        each for each in procfs.pids('/proc')
        if process_table.parent(procfs.stat(f'/proc/{each}')) == pid
    ]
    return len(os.listdir(f'/proc/{pid}/fd')) + len(children)


def test_changes_leave_nothing_open(
        config: str, apps: tuple[App, App], tmp_path: Path,
) -> None:
    """However often the file changes: no descriptor, and no child."""
    one, two = apps
    write(tmp_path / 'run', 'exec > "$1"\necho run\nsleep 1000\n')
    with Mark(tmp_path / 'mark') as mark:
        shapes = (
            (one.table(state_file=f'{tmp_path}/a'), two.table()),
            (two.table(validate=f'sh {tmp_path}/run {mark.path}'),),
            (one.table(state_file=f'{tmp_path}/b'), two.table(signal='USR1')),
        )
        put(config, *shapes[0])
        with current_watches(config) as it:
            before = opened(it.pid)
            for number in range(4):
                for shape in (*shapes[1:], shapes[0]):
                    put(config, *shape, splay=f'{number}ms')
                    it.rest()
                    if shape is shapes[1]:
                        two.change()
                        it.poll()
                        assert mark.read() == 'run'
                # In the middle of a step it may have a file more.
                until(lambda: opened(it.pid) <= before, 'nothing else is open')
