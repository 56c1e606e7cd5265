"""The schema of the log: of every line that is written, and of nothing else."""
from __future__ import annotations

import ast
import copy
import itertools
import json
import os
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pollreload.runtime import log
from pollreload.settings import Settings
from tests.support import several, sidecar, targets
from tests.support.sidecar import check, unique, watch, write
from tests.support.simulation import Simulation

with open(
    os.path.join(sidecar.ROOT, 'packaging/schema/log.schema.json'), encoding='utf-8',
) as it:
    SCHEMA: dict[str, Any] = json.load(it)
VALIDATOR = Draft202012Validator(SCHEMA)
EVENTS = SCHEMA['properties']['event']['enum']
ALWAYS = {'time', 'level', 'event', 'message', 'watch', 'pid'}
LINE = {
    'time': '2026-11-23T08:41:21.757Z', 'level': 'info', 'message': 'text',
    'watch': '', 'pid': 7,
}
PID = {'target_pid': 1}
TARGET = {'target_pid': 41, 'comm': 'nginx', 'signal': 'SIGHUP'}
PRINT = '0123456789abcdef' * 2
# What a call gives whose value is the fields of an event.
FIELDS = {
    # progress.fields_of, actions.action_fields, describe.log_fields
    'fields_of(settings, entry': {'target_pid', 'comm', 'signal'},
    'action_fields(settings, each)': {'exec', 'url'},
    'action_fields(settings, index)': {'exec', 'url'},
    'log_fields(settings)': {'paths', 'process', 'pidfile', 'signal', 'exec', 'url'},
}


def trouble(line: Mapping[str, object]) -> list[str]:
    """Return the complaints of the schema about a line."""
    return [each.message for each in VALIDATOR.iter_errors(line)]


# The schema and the source


class Calls(ast.NodeVisitor):
    """The fields and reasons that the source gives to each event."""

    def __init__(self) -> None:
        self.fields: dict[str, set[str]] = defaultdict(set)
        self.reasons: dict[str, set[str]] = defaultdict(set)
        self.others: list[str] = []

    def visit_Call(self, node: ast.Call) -> None:
        """Take note of what is said, held, or may be a reason to."""
        called = getattr(node.func, 'attr', getattr(node.func, 'id', ''))
        constants = [
            each.value if isinstance(each, ast.Constant) else None
            for each in node.args
        ]
        named = {each.arg: each.value for each in node.keywords if each.arg}
        if called in ('say', 'log') and isinstance(constants[0], str):
            self.note(constants[0], node, {*named})
        elif called == 'say':
            self.others.append(ast.unparse(node))
        elif called == 'hold' and len(constants) > 3:
            event = getattr(named.get('event'), 'value', 'held')
            others = {'again', 'waiting', 'event'}
            self.note(event, node, {*named} - others | {'reason'})
            self.reason(event, constants[3])
            if ast.unparse(node.args[3]).startswith('action_kind('):
                # actions.action_kind(settings, index)
                self.reasons[event] |= {'exec', 'url'}
        elif called == 'failed':
            self.reason('failed', constants[0])
        elif called == 'advance_target':
            # progress.advance_target() logs these fields besides those of a target.
            events = {
                'how': 'signalled', 'disposition': 'signalled',
                'successor': 'delivered',
            }
            for field in named:
                self.fields[events.get(field, 'changed')].add(field)
        elif called in ('Obstacle', 'Choice') and len(constants) > 1:
            self.reason('held', constants[1])
        elif called in ('Note', 'Advice'):
            # Note(watch, reason, ...) and Advice(reason, certain, ...)
            at = int(called == 'Note')
            for each in node.args[at:at + 1]:
                for reason in outcomes(each):
                    self.reason('warning', reason)
        self.generic_visit(node)

    def note(self, event: str, node: ast.Call, names: set[str]) -> None:
        """Note the fields of an event, and its reason if it is written there."""
        self.fields[event] |= names
        for each in node.keywords:
            value = each.value
            if each.arg == 'reason' and isinstance(value, ast.Constant):
                self.reason(event, value.value)
            if each.arg is None and isinstance(value, ast.Call):
                call = ast.unparse(value)
                known = next(name for name in FIELDS if call.startswith(name))
                self.fields[event] |= FIELDS[known]
                for reason in value.args[2:]:
                    self.fields[event].add('reason')
                    # progress.report() names it when it calls its failed().
                    written = isinstance(reason, ast.Constant)
                    assert written or ast.unparse(reason) == 'reason'
                    self.reason(event, getattr(reason, 'value', None))

    def visit_Assign(self, node: ast.Assign) -> None:
        """Take note of why a signal could not be sent: telling.unsent."""
        name, value = ast.unparse(node.targets[0]), node.value
        if name == 'reasons' and isinstance(value, ast.Dict):
            for each in value.values:
                self.reason('failed', getattr(each, 'value', None))
        self.generic_visit(node)

    def reason(self, event: str, words: object) -> None:
        """Note a reason, if it is one."""
        if isinstance(words, str) and words:
            self.reasons[event].add(words)


def outcomes(node: ast.expr) -> Iterator[object]:
    """Yield the constants that an expression may evaluate to."""
    if isinstance(node, ast.IfExp):
        yield from outcomes(node.body)
        yield from outcomes(node.orelse)
    elif isinstance(node, ast.Constant):
        yield node.value


@pytest.fixture(scope='module')
def source() -> Calls:
    """What the source says of every event."""
    calls = Calls()
    for path in sorted(Path(sidecar.ROOT).glob('pollreload/**/*.py')):
        calls.visit(ast.parse(path.read_text(encoding='utf-8')))
    return calls


def properties(part: Any) -> Iterator[tuple[str, Any]]:
    """Return the fields that a part of the schema knows, with what it says of each."""
    if isinstance(part, dict):
        yield from part.get('properties', {}).items()
        if '$ref' in part:
            yield from properties(SCHEMA['$defs'][part['$ref'].rpartition('/')[2]])
        for each in part.get('oneOf', ()):
            yield from properties(each)


def test_the_schema_is_one() -> None:
    """By the schema of schemas."""
    Draft202012Validator.check_schema(SCHEMA)


def test_every_event_of_the_source_is_in_the_schema_and_no_other(source: Calls) -> None:
    """And has a part of its own there."""
    assert len(EVENTS) == len({*EVENTS})
    assert {*EVENTS} == {*source.fields}
    assert [each['if']['properties']['event'] for each in SCHEMA['allOf']] == [
        {'const': name} for name in EVENTS
    ]
    assert [each['then']['$ref'] for each in SCHEMA['allOf']] == [
        f'#/$defs/{name}' for name in EVENTS
    ]


def test_the_source_says_nothing_else(source: Calls) -> None:
    """An event that is not a word there would not be found above."""
    assert source.others == ['world.say(event, says, reason=reason, **fields)']


def test_every_field_of_the_source_is_in_the_schema_and_no_other(source: Calls) -> None:
    """Of each event."""
    known = {
        name: {field for field, _ in properties(SCHEMA['$defs'][name])}
        for name in EVENTS
    }

    assert known == source.fields


def test_every_reason_of_the_source_is_in_the_schema_and_no_other(
        source: Calls,
) -> None:
    """Of each event; that of `unreadable` is what the system says."""
    known: dict[str, set[str]] = {}
    for name in EVENTS:
        for field, says in properties(SCHEMA['$defs'][name]):
            if field == 'reason' and name != 'unreadable':
                words = says.get('enum', [says.get('const')])
                assert len(words) == len({*words})
                known.setdefault(name, set()).update(words)

    assert known == source.reasons


# Lines that are none


@pytest.mark.parametrize('line', [
    pytest.param({**LINE}, id='no event'),
    *(
        pytest.param(
            {**{name: LINE[name] for name in LINE if name != left}, 'event': 'status'},
            id=f'no {left}',
        ) for left in LINE
    ),
    pytest.param({**LINE, 'event': 'status', 'level': 'fatal'}, id='a level of others'),
    pytest.param({**LINE, 'event': 'status', 'pid': 0}, id='not our pid'),
    pytest.param({**LINE, 'event': 'reloaded'}, id='an event that is none'),
    pytest.param({**LINE, 'event': 'status', 'message': 1}, id='no text'),
    pytest.param({**LINE, 'event': 'status', **PID}, id='a field of another'),
    pytest.param({**LINE, 'event': 'status', 'time': '2026-11-23'}, id='a date'),
    pytest.param({**LINE, 'event': 'stopped'}, id='stopped for nothing'),
    pytest.param({**LINE, 'event': 'stopped', 'reason': 'died'}, id='by itself'),
    pytest.param(
        {**LINE, 'event': 'stopped', 'reason': 'config', 'signal': 'SIGTERM'},
        id='stopped twice',
    ),
    pytest.param({**LINE, 'event': 'warning', 'about': '/a'}, id='no mistake'),
    pytest.param({**LINE, 'event': 'delivered'}, id='no target'),
    pytest.param(
        {**LINE, 'event': 'delivered', **TARGET, 'target_pid': 0}, id='no pid',
    ),
    pytest.param(
        {**LINE, 'event': 'delivered', **TARGET, 'target_pid': '41'}, id='text',
    ),
    pytest.param({**LINE, 'event': 'delivered', **TARGET, 'signal': 'HUP'}, id='HUP'),
    pytest.param({**LINE, 'event': 'delivered', **TARGET, 'reason': 'x'}, id='more'),
    pytest.param({**LINE, 'event': 'held'}, id='no reason'),
    pytest.param({**LINE, 'event': 'held', 'reason': 'mood'}, id='another reason'),
    pytest.param({**LINE, 'event': 'held', 'reason': 'died'}, id='that of failed'),
    pytest.param({**LINE, 'event': 'failed', 'reason': 'died', 'comm': 'a'}, id='half'),
    pytest.param({**LINE, 'event': 'baseline', **PID}, id='half a baseline'),
    pytest.param(
        {**LINE, 'event': 'baseline', 'fingerprint': PRINT, 'files': 1, **PID},
        id='two in one',
    ),
    pytest.param({**LINE, 'event': 'changed', 'fingerprint': PRINT}, id='no count'),
    pytest.param(
        {**LINE, 'event': 'changed', 'fingerprint': 'xyz', 'count': 1}, id='no digest',
    ),
    pytest.param(
        {**LINE, 'event': 'changed', 'fingerprint': PRINT, 'count': 9,
         'files': list('abcdef')}, id='too many names',
    ),
    pytest.param({**LINE, 'event': 'stalled', 'seconds': -1}, id='before its time'),
    pytest.param(
        {**LINE, 'event': 'started', 'signal': None, 'process': 'nginx'},
        id='no signal to a process',
    ),
    pytest.param({**LINE, 'event': 'started'}, id='no word of a signal'),
    pytest.param(
        {**LINE, 'event': 'started', 'signal': None, 'url': 'http://host/'},
        id='one that is no list',
    ),
    pytest.param(
        {**LINE, 'event': 'started', 'signal': None,
         'url': ['http://user:secret@host/']}, id='user and password',
    ),
    pytest.param(
        {**LINE, 'event': 'delivered', 'url': 'http://host/?token'}, id='a query',
    ),
    pytest.param({**LINE, 'event': 'delivered', 'url': 'ftp://host/'}, id='no url'),
    pytest.param({**LINE, 'event': 'delivered', 'exec': ['a', 'b']}, id='arguments'),
    pytest.param(
        {**LINE, 'event': 'delivered', 'exec': 'a', 'url': 'http://host/'}, id='both',
    ),
    pytest.param({**LINE, 'event': 'delivered', **TARGET, 'exec': 'a'}, id='all'),
    pytest.param({**LINE, 'event': 'would'}, id='nothing that would be'),
    pytest.param({**LINE, 'event': 'would', **PID, 'exec': 'a'}, id='two of them'),
    pytest.param({**LINE, 'event': 'verified', 'exec': 'a'}, id='one that is verified'),
    pytest.param({**LINE, 'event': 'verified', 'comm': 'a'}, id='half a target'),
    pytest.param({**LINE, 'event': 'failed', 'reason': 'exec'}, id='no program'),
    pytest.param({**LINE, 'event': 'failed', 'reason': 'url', 'exec': 'a'}, id='other'),
    pytest.param({**LINE, 'event': 'failed', 'reason': 'died', 'exec': 'a'}, id='died'),
    pytest.param(
        {**LINE, 'event': 'failed', 'reason': 'url', 'url': 'http://h/', **PID},
        id='a pid of a url',
    ),
    pytest.param(
        {**LINE, 'event': 'changed', 'fingerprint': PRINT, 'reason': 'outdated'},
        id='no outdated target',
    ),
])
def test_what_is_no_line_is_refused(line: dict[str, object]) -> None:
    """A schema that takes everything says nothing."""
    assert trouble(line)


# Lines that are


@pytest.mark.parametrize('line', [
    {'event': 'started', 'signal': None, 'process': None, 'pidfile': None,
     'paths': ['/etc'], 'exec': ['true'], 'url': ['http://[::1]:81/a', 'HTTPS://b']},
    {'event': 'started', 'signal': None},
    {'event': 'started', 'signal': 'SIGHUP', 'process': 'a', 'exec': ['b']},
    {'event': 'delivered', 'exec': '/bin/true'},
    {'event': 'delivered', 'url': 'http://host/'},
    {'event': 'would', 'exec': 'true'},
    {'event': 'would', 'reason': 'nothing due'},
    {'event': 'failed', 'reason': 'exec', 'exec': 'true'},
    {'event': 'failed', 'reason': 'url', 'url': 'http://host/'},
    {'event': 'failed', 'reason': 'not verified'},
    {'event': 'failed', 'reason': 'changed meanwhile'},
    {'event': 'verified'},
    {'event': 'warning', 'reason': 'subpath', 'about': '/etc/app.conf'},
    {'event': 'changed', 'fingerprint': PRINT, 'reason': 'restarted'},
], ids=lambda line: f'{line["event"]} {line.get("reason", "")}'.strip())
def test_lines_without_a_target_match_the_schema(line: dict[str, object]) -> None:
    """--exec and --url, beside a process and without one."""
    assert trouble({**LINE, **line}) == []


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Every line that a watch or a check writes in a test, each judged."""
    lines: list[dict[str, Any]] = []
    read = sidecar.event

    def event(line: bytes) -> dict[str, Any]:
        got = read(line)
        lines.append(got)
        return got

    monkeypatch.setattr(sidecar, 'event', event)
    yield lines
    assert [(line, trouble(line)) for line in lines if trouble(line)] == []


def named(lines: list[dict[str, Any]]) -> set[str]:
    """Return the events of some lines."""
    return {line['event'] for line in lines}


def test_a_watch_from_its_start_to_its_end(
        tmp_path: Path, seen: list[dict[str, Any]],
) -> None:
    """Deliveries, holds, failures, and paths that disappear and come back."""
    conf, name, valid = f'{tmp_path}/app.conf', unique(), f'{tmp_path}/valid'
    write(conf, 'first')
    write(valid, '#!/bin/sh\necho no; grep -q good "$1"\n')
    os.chmod(valid, 0o755)
    with (
        targets.start('handler', name=name) as target,
        watch('-v', '--process', name, '--validate', f'{valid} {conf}', '--verify',
              'true', conf) as it,
    ):
        it.until('baseline')
        write(conf, 'bad')
        it.poll()
        it.until('held', reason='validation failed')
        write(conf, 'good')
        it.poll()
        it.until('verified')
        os.remove(conf)
        it.poll()
        it.until('unreadable')
        write(conf, 'good')
        it.poll()
        it.until('readable')
        target.zombie()
        write(conf, 'good again')
        it.poll()
        it.until('held', reason='no target')
        assert it.stop() == 0

    assert named(seen) == {
        'started', 'baseline', 'polling', 'polled', 'changed', 'held', 'signalled',
        'delivered', 'verified', 'unreadable', 'readable', 'status', 'stopped',
    }
    assert any('said' in line for line in seen)


def test_what_is_done_besides_a_signal(
        tmp_path: Path, seen: list[dict[str, Any]],
) -> None:
    """A command that succeeds and one that fails, a request, and --verify."""
    conf, once = f'{tmp_path}/app.conf', f'{tmp_path}/once'
    write(conf, 'first')
    words = ('--exec', 'true', '--exec', f'mkdir {once}')
    env = {'POLLRELOAD_URL': 'http://127.0.0.1:1/x?y'}
    ledger = ('--state-file', f'{tmp_path}/ledger')
    with watch(*words, conf, env=env) as it:
        it.until('baseline')
        write(conf, 'second')
        it.poll()
        it.until('failed', reason='url')
    check(*ledger, *words, conf, env=env)
    write(conf, 'third')
    check(*ledger, *words, conf, '--dry-run', env=env)
    check(*ledger, *words, conf, env=env)
    check(
        '--state-file', f'{tmp_path}/other', '--exec', 'true', '--verify', 'true',
        '--on-start', 'always', conf,
    )

    said = {(each['event'], each.get('reason')) for each in seen}
    assert {
        ('started', None), ('would', None), ('delivered', None), ('verified', None),
        ('failed', 'exec'), ('failed', 'url'),
    } <= said


def test_watches_of_a_config_file(
        tmp_path: Path, seen: list[dict[str, Any]],
) -> None:
    """Each line has the name of its watch; those of the file itself an empty one."""
    conf, config = f'{tmp_path}/app.conf', f'{tmp_path}/pollreload.toml'
    write(conf, 'first')
    both = several.table(name='one', path=conf, exec='true'), several.table(
        name='two', path=conf, exec='false',
    )
    several.put(config, *both)
    with several.started(config) as it:
        it.until('baseline', watch='two')
        it.rest()
        write(conf, 'second')
        it.poll()
        it.each(('delivered', 'one'), ('failed', 'two'))
        several.put(config, both[0], both[1].replace('name', 'nam'))
        it.rest('version due')
        refused = it.until('held', reason='config')
        several.put(config, both[0])
        it.rest()
        gone = it.until('stopped', reason='config')
        assert it.stop() == 0

    assert not refused['watch']
    assert gone['watch'] == 'two'
    assert {each['watch'] for each in seen} == {'one', 'two', ''}


def test_a_target_that_dies(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    """Its pid, and the reason."""
    conf, name = f'{tmp_path}/app.conf', unique()
    write(conf, 'first')
    with (
        targets.start('default', name=name),
        watch('--process', name, '--handler-check', 'off', conf) as it,
    ):
        it.until('baseline')
        write(conf, 'second')
        it.poll()
        it.until('failed', reason='died')


def test_checks(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    """Deliveries, what would be delivered, a damaged ledger, and a timeout."""
    conf, name, ledger = f'{tmp_path}/app.conf', unique(), f'{tmp_path}/ledger'
    words = ('-v', '--process', name, '--state-file', ledger, conf)
    write(conf, 'first')
    with targets.start('handler', name=name):
        check(*words)
        write(conf, 'second')
        check(*words, '--dry-run')
        check(*words, '--validate', 'sleep 60', '--timeout', '0.2')
        check(*words)
        write(ledger, 'none')
        check(*words)

    assert named(seen) == {
        'baseline', 'polled', 'changed', 'would', 'signalled', 'delivered', 'failed',
    }
    assert {line.get('reason') for line in seen if line['event'] == 'failed'} == {
        'ledger', 'timeout',
    }


def test_names_of_any_bytes(tmp_path: Path, seen: list[dict[str, Any]]) -> None:
    """No UTF-8, line ends, and more than a line can hold."""
    deep = tmp_path.joinpath(*('é' * 120 for _ in range(4)))
    deep.mkdir(parents=True)
    with watch('--process', os.fsdecode(b'b\xff'), str(tmp_path)) as it:
        it.until('baseline')
        (tmp_path / os.fsdecode(b'\xff\n')).write_text('x')
        it.poll()
        it.until('held')
        for number in range(9):
            (deep / f'{number}').write_text('x')
        it.poll()
        cut = it.until('changed')
        it.send(signal.SIGHUP)

    assert 'files' not in cut
    first = next(line for line in seen if line['event'] == 'changed')
    assert '\udcff\n' in first['files'][0]


def test_what_only_a_simulated_world_does() -> None:
    """Reads that hang, queues that are full, targets of every kind."""
    lines = []
    for event in itertools.chain.from_iterable(world.events for world in worlds()):
        # A version of the simulation is shown by its name.
        fields = {**event.fields}
        if 'fingerprint' in fields:
            fields['fingerprint'] = PRINT
        line = log.event_line('json', event.at, event.event, event.message, fields)
        lines.append(json.loads(line))

    assert [(line, trouble(line)) for line in lines if trouble(line)] == []
    assert {
        ('baseline', 'needless'), ('stalled', None), ('readable', None),
        ('changed', 'restarted'), ('changed', 'max wait'), ('held', 'never validated'),
        ('held', 'no handler'), ('held', 'still changing'),
        ('held', 'no target'), ('failed', 'died'), ('failed', 'not permitted'),
    } <= {(line['event'], line.get('reason')) for line in lines}


def worlds() -> Iterator[Simulation]:
    """Return worlds in which something out of the ordinary has happened."""
    settings = Settings(paths=('/c',), process='app')

    def world(**changes: Any) -> Simulation:
        made = Simulation(settings, 'file', targets=1)
        made.run(20.0)
        if changes:
            made.alter_root(**changes)
        made.put('B')
        return made

    for changes in (
        {'disposition': 'default'}, {'dies': True}, {'refuses': True},
        {'stopped': True},
    ):
        it = world(**changes)
        it.run(90.0)
        yield it
    it = world()
    it.hang(200.0)
    it.run(300.0)
    yield it
    it = world()
    it.run(2.0)
    it.end_all()
    it.run(20.0)
    it.put('C')
    it.run(20.0)
    it.start()
    it.run(60.0)
    yield it
    it = world()
    while it.state.version.state != 'settling':
        it.run(0.25)
    it.restart()
    it.put('A')
    it.run(60.0)
    yield it
    it = world()
    it.put('D', changing=True)
    it.run(200.0)
    yield it
    for max_wait in (0.0, 10.0):
        outrun = settings._replace(
            validate=('validate',), max_wait=max_wait, settle=0.0, interval=0.5,
        )
        it = Simulation(outrun)
        it.takes = 3.0
        for number in range(50):
            it.run(2.0)
            it.put(f'{number}')
        yield it


@pytest.mark.parametrize('name', EVENTS)
def test_the_schema_knows_what_it_requires(name: str) -> None:
    """What is required of an event is among its fields."""
    part = copy.deepcopy(SCHEMA['$defs'][name])
    known = {field for field, _ in properties(part)}

    for each in (part, *part.get('oneOf', ())):
        assert {*each.get('required', ())} <= known
