"""Which process is the target, and what it would do with the signal."""
from __future__ import annotations

import pytest

from pollreload.core import process
from pollreload.core.process import Masks, Process, choose, disposition

HUP = 1
BIT = 1 << (HUP - 1)


@pytest.mark.parametrize('seen', ['ignored', 'default'])
def test_only_a_signal_without_a_handler_is_held_or_warned_about(seen):
    """With --handler-check off it is sent as well."""
    assert process.verdict('enforce', seen) == 'hold'
    assert process.verdict('warn', seen) == 'warn'
    assert process.verdict('off', seen) == 'send'


@pytest.mark.parametrize('mode', ['enforce', 'warn', 'off'])
@pytest.mark.parametrize('seen', ['caught', 'blocked', 'unknown', 'runtime'])
def test_signal_that_may_be_handled_is_sent(mode, seen):
    """Missing evidence is unknown, and unknown is sent (rule 10)."""
    assert process.verdict(mode, seen) == 'send'


@pytest.mark.parametrize(('masks', 'harmless', 'init', 'answer'), [
    pytest.param(None, False, False, 'unknown', id='no masks: unknown, never default'),
    pytest.param(None, True, True, 'unknown', id='no masks of init'),
    pytest.param(Masks(BIT, 0, 0, 0), False, False, 'caught', id='caught'),
    pytest.param(Masks(BIT, BIT, BIT, 0), False, False, 'caught', id='caught, blocked'),
    pytest.param(Masks(0, BIT, 0, 0), False, False, 'ignored', id='ignored'),
    pytest.param(Masks(0, BIT, BIT, 0), False, False, 'ignored', id='ignored, blocked'),
    pytest.param(Masks(0, 0, BIT, 0), False, False, 'blocked', id='blocked'),
    pytest.param(Masks(0, 0, BIT, 0), False, True, 'blocked', id='blocked in init'),
    pytest.param(Masks(0, 0, 0, 0), False, False, 'default', id='default'),
    pytest.param(Masks(0, 0, 0, BIT), False, False, 'default', id='pending is nothing'),
    pytest.param(Masks(0, 0, 0, 0), True, False, 'ignored', id='harmless by default'),
    pytest.param(Masks(0, 0, 0, 0), False, True, 'ignored', id='init is spared'),
    pytest.param(Masks(0, 0, 0, 0, BIT), False, False, 'unknown', id='sigwait'),
    pytest.param(Masks(0, 0, 0, 0, BIT), False, True, 'unknown', id='sigwait in init'),
    pytest.param(Masks(BIT, 0, 0, 0, BIT), False, False, 'caught', id='both'),
    pytest.param(Masks(0, 0, 0, 0, BIT << 1), False, False, 'default', id='other wait'),
    pytest.param(
        Masks(BIT << 1, BIT << 1, BIT << 1, 0), False, False, 'default',
        id='masks of another signal',
    ),
])
def test_disposition_follows_from_the_masks(masks, harmless, init, answer):
    """Without masks it is unknown."""
    assert disposition(masks, HUP, harmless, init) == answer


@pytest.mark.parametrize(('caught', 'answer'), [
    pytest.param(0xfffffffd7fc1feff, 'runtime', id='Go'),
    pytest.param(0xfffffffd7fc1fefd, 'runtime', id='Go, INT ignored at its start'),
    pytest.param(0x2000000101005ccd, 'runtime', id='JVM'),
    pytest.param(0x0000000101005ccd | 1 << 11, 'runtime', id='JVM, suspends by USR2'),
    pytest.param(0x2000000101005cc9, 'caught', id='JVM without QUIT'),
    pytest.param(0x2000000101005cd9, 'caught', id='JVM without QUIT, catching USR1'),
    pytest.param(0x43817ef9, 'runtime', id='bash with a trap for EXIT, in background'),
    pytest.param(0x43817efb, 'runtime', id='bash with a trap for EXIT'),
    pytest.param(0x10001, 'caught', id='bash with a trap for HUP'),
    pytest.param(0x14003, 'caught', id='bash with traps for HUP, INT and TERM'),
    pytest.param(0x8010001, 'runtime', id='zsh, also with a trap for HUP'),
    pytest.param(0x8014001, 'caught', id='zsh with a trap for TERM too'),
    pytest.param(0x42017e4f, 'runtime', id='Ruby'),
    pytest.param(0x142017e49, 'runtime', id='Ruby with threads, in background'),
    pytest.param(0x4a017e4f, 'caught', id='Ruby with a trap for WINCH'),
    pytest.param(0x4004a07, 'runtime', id='PHP'),
    pytest.param(0x14a07, 'caught', id='php-fpm'),
    pytest.param(0x7fc3faff, 'runtime', id='ksh with a trap for EXIT'),
    pytest.param(0x8012000 | 1, 'caught', id='ksh with a trap for HUP'),
])
def test_mask_of_a_runtime_that_catches_every_signal(caught, answer):
    """Such a mask does not show whether the program handles the signal (rule 10)."""
    assert disposition(Masks(caught, 0, 0, 0), HUP, False, False) == answer


def test_last_signal_has_a_bit():
    """Signal 64 is bit 63."""
    assert disposition(Masks(1 << 63, 0, 0, 0), 64, False, False) == 'caught'


def process_with(comm: str, *cmdline: str) -> Process:
    """Return a process with that comm and those arguments."""
    return Process(41, 1, 500, comm, cmdline)


@pytest.mark.parametrize(('comm', 'cmdline', 'name', 'answer'), [
    pytest.param('nginx', (), 'nginx', True, id='short'),
    pytest.param('nginx', (), 'ngin', False, id='a part'),
    pytest.param('nginx', ('x',), 'nginx', True, id='arguments do not count'),
    pytest.param('sixteen-letters', (), 'sixteen-letters', True, id='15 bytes'),
    pytest.param(
        'sixteen-letters', ('/usr/bin/sixteen-letters1',), 'sixteen-letters1', True,
        id='16 bytes, argv[0]',
    ),
    pytest.param(
        'sixteen-letters', ('sixteen-letters2',), 'sixteen-letters1', False,
        id='16 bytes, a decoy',
    ),
    pytest.param(
        'sixteen-letters', (), 'sixteen-letters1', False, id='16 bytes, no arguments',
    ),
    pytest.param(
        'sixteen-letters', ('python3', '-u', '/opt/sixteen-letters1', 'x'),
        'sixteen-letters1', True, id='16 bytes, a script',
    ),
    pytest.param(
        'sixteen-letters', ('python3', 'other', 'sixteen-letters1'),
        'sixteen-letters1', False, id='16 bytes, an argument of the script',
    ),
    pytest.param(
        'sixteen-letters', ('/sixteen-letters1/decoy',), 'sixteen-letters1', False,
        id='16 bytes, a directory',
    ),
    pytest.param('other', ('sixteen-letters1',), 'sixteen-letters1', False, id='comm'),
    # U+00E9 is two bytes in UTF-8; the kernel cuts the comm between them.
    pytest.param(
        'fourteen-chars\udcc3', ('fourteen-charsé',), 'fourteen-charsé', True,
        id='cut in a character',
    ),
    pytest.param(
        'fourteen-chars\udcc3', ('fourteen-charsè',), 'fourteen-charsé', False,
        id='cut in a character, a decoy',
    ),
])
def test_name_matches(comm, cmdline, name, answer):
    """A name over 15 bytes is confirmed by argv[0], or by the script that it runs."""
    assert process.goes_by(process_with(comm, *cmdline), name) is answer


@pytest.mark.parametrize(('cmdline', 'answer'), [
    ((), ()),
    (('python3',), ()),
    (('python3', '-u'), ()),
    (('python3', '-u', 'a', 'b'), ('a',)),
    (('sh', 'a'), ('a',)),
])
def test_script_is_the_first_argument_that_is_not_an_option(cmdline, answer):
    """The options of an interpreter come before the file that it runs."""
    assert process.script(cmdline) == answer


MASTER = Process(40, 1, 100, 'app')
WORKER = Process(41, 40, 200, 'app')
CHILD = Process(42, 41, 300, 'app')
OTHER = Process(43, 1, 400, 'app')


@pytest.mark.parametrize(('found', 'select', 'answer'), [
    ((MASTER,), 'root', (MASTER,)),
    ((CHILD, WORKER, MASTER), 'root', (MASTER,)),
    ((WORKER, CHILD), 'root', (WORKER,)),
    ((MASTER, OTHER), 'root', ()),
    ((OTHER, CHILD, WORKER, MASTER), 'roots', (MASTER, OTHER)),
    ((OTHER, MASTER, CHILD), 'all', (MASTER, CHILD, OTHER)),
    ((OTHER, MASTER, WORKER), 'oldest', (MASTER,)),
    ((OTHER, MASTER, WORKER), 'newest', (OTHER,)),
])
def test_select(found, select, answer):
    """Each --select, with the matches in any order; age decides, then the pid."""
    choice = choose(found, select)

    assert choice.targets == answer
    assert set(choice.matches) == set(found)
    assert choice.reason == ('' if answer else 'ambiguous')


def test_pid_decides_between_processes_of_the_same_clock_tick():
    """The higher pid counts as the newer."""
    twin = OTHER._replace(pid=39)

    assert choose((OTHER, twin), 'newest').targets == (OTHER,)
    assert choose((OTHER, twin), 'oldest').targets == (twin,)


@pytest.mark.parametrize('select', ['root', 'roots', 'all', 'oldest', 'newest'])
def test_no_match_is_no_target(select):
    """It has a reason of its own."""
    assert choose((), select) == process.Choice((), 'no target')


def test_several_roots_are_listed():
    """The message names the pids, and the options that resolve the ambiguity."""
    choice = choose((MASTER, OTHER, WORKER), 'root')

    assert choice.says.startswith(
        '2 processes match and none is the parent of the others (pids 40, 43); narrow',
    )
    assert '--cmdline' in choice.says
    assert '--select roots' in choice.says


@pytest.mark.parametrize(('count', 'listing'), [
    (1, 'pid 0'),
    (2, 'pids 0, 1'),
    (8, 'pids 0, 1, 2, 3, 4, 5, 6, 7'),
    (10, 'pids 0, 1, 2, 3, 4, 5, 6, 7 and 2 more'),
])
def test_pids_are_listed(count, listing):
    """The first eight are named, and the others counted."""
    found = [MASTER._replace(pid=pid) for pid in range(count)]

    assert process.listed(found) == listing


def test_process_is_shown_by_comm_and_pid():
    """A message needs both to say which process it is."""
    assert str(MASTER) == 'app (pid 40)'
