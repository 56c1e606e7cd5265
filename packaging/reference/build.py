"""Write docs/reference.md: python packaging/reference/build.py

Options, defaults and variables come from the commands themselves, events and fields
from packaging/schema/log.schema.json. NOTES says what --help has no room for.
tests/docs/reference_test.py fails if the page is not up to date.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pollreload.cli import main as main_module
from pollreload.cli import options as options_module
from pollreload.errors import REPORT

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/reference.md'
SCHEMA = ROOT / 'packaging/schema/log.schema.json'
MAIN = ('watch', 'check', 'doctor')

# What follows the help text of an option.
NOTES = {
    '--process': 'The kernel keeps 15 bytes of it. A longer name must also be that of '
        'the program in the arguments, or of the script that an interpreter runs. At '
        'least one of this, `--pidfile`, `--exec` and `--url` is required.',
    '--pidfile': 'The first number of its first line counts. The file, and each link '
        'and directory on the way to it, must belong to root, to the user of '
        'pollreload or to that of the target; no other user may be able to write to '
        'it or replace it; and it must not be older than the process. A number alone '
        'never selects pid 1, nor a process that may have it by chance in another pid '
        'namespace: add `--process` or `--cmdline` if that process is meant, or if '
        'the clock was set.',
    '--cmdline': 'The arguments are joined by spaces; the first 16 KiB are searched. '
        'An expression such as `(a+)+b` may take minutes: write a plain one, such as '
        r'`org\.example\.Main`.',
    '--uid': 'By number or by name. The real, the effective and the saved uid count.',
    '--all-namespaces': 'That is, processes of containers, seen from the host.',
    '--select': 'With `root`, several such processes hold the signal.',
    '--signal': '`HUP`, `SIGHUP`, `1` or `RTMIN+3`.',
    '--rehash': '`0` reads all files at each poll.',
    '--max-wait': 'Without it a version that never settles, or that is replaced while '
        '`--validate` runs, is held. A version that `--validate` refused is never '
        'delivered, and none while a file is distrusted (`--empty-grace`), which does '
        'not count.',
    '--min-interval': 'A retry and a new target do not wait for it. `SIGHUP` to '
        'pollreload and a restart end the wait.',
    '--settle': '`0` acts on the first poll.',
    '--empty-grace': 'A directory or glob counts if it loses everything at once.',
    '--on-missing': 'With `notify`, a deletion is distrusted for `--empty-grace`. A '
        'file that is deleted below a directory or glob is a change in any case.',
    '--ignore': 'The list so far is [the default list](how-it-works.md#ignored-names). '
        'A pattern is for one name, in any directory, and has no `/`. Names that begin '
        'with `..` are always skipped.',
    '--max-file-size': '`512M`, `64k` or bytes. No configuration comes near the '
        'default, and a sparse file of 8 EiB costs nothing to make.',
    '--handler-check': '`enforce` holds the signal, `warn` sends it and logs that, '
        '`off` does not check. `TERM`, `INT`, `QUIT` and `KILL` are not checked.',
    '--survive': 'The signal must not be pending by then. `0` does not wait.',
    '--validate': 'No shell is used.',
    '--verify': 'It is repeated until `--command-timeout` is over. Without a process '
        'it runs once for all, after `--exec` and `--url`. No shell is used.',
    '--command-timeout': 'A target that still runs so long after `TERM`, `INT`, `QUIT` '
        'or `KILL`, or for `--survive` if that is longer, is reported as held.',
    '--verify-workers': 'That proves a reload on servers that replace their workers: '
        '[servers.md](servers.md) says which.',
    '--exec': 'No shell is used. [actions.md](actions.md) says more.',
    '--url': '`http` or `https`; no redirect is followed.',
    '--url-header-file': 'One `NAME: VALUE` a line, as `Authorization: Bearer ...`, '
        'each name once. An `Authorization` replaces the credentials of the URL. '
        'Nothing in the file is logged.',
    '--url-ca': 'Instead of the authorities of the system.',
    '--on-start': 'With `auto` and no process, notify once. What was missing at first '
        'and then appears is delivered to an older target in any case.',
    '--state-file': 'This is the ledger. `watch` keeps none unless it is named; '
        '`check` keeps one under `$XDG_STATE_HOME/pollreload`, as root under '
        '`/var/lib/pollreload`.',
    '--listen': '[metrics.md](metrics.md) says what is served.',
    '--status-file': '`pollreload status FILE` reads it. Its mode is 0644, less the '
        'umask; it contains no file contents and no password.',
    '--config': '[config.md](config.md) describes the file. Only `--listen`, '
        '`--log-format`, `-v`, `-q`, `--timeout`, `--dry-run` and `--output` may be '
        'given with it.',
    '--quiet': '`held`, `failed`, `unreadable`, `stalled`, `would` and `status` are '
        'logged all the same.',
}

COMMANDS = tuple(main_module.pollreload.commands)
# Status -> the commands that exit with it, and what it means.
STATUSES: dict[int, tuple[tuple[str, ...], str]] = {
    0: (COMMANDS, 'watch: stopped by `TERM` or `INT`. check: nothing was due, or all '
        'was delivered. The others: nothing failed'),
    1: (tuple(name for name in COMMANDS if name != 'watch'),
        'check: something was due and was not delivered. doctor, smoke: a check '
        'failed. digest: a path could not be read. install-to: the directory could '
        'not be filled. status: the last poll is too old or in the future, or there '
        'is no such file'),
    2: (COMMANDS, 'the command line or the environment is wrong'),
    3: (('check',), 'a path could not be read, and nothing worse'),
    4: (('check',), 'the ledger is unusable'),
    70: (COMMANDS, 'a fault in pollreload; ' + REPORT),
    74: (tuple(name for name in COMMANDS if name != 'watch'),
         'the output could not be written to stdout'),
    75: (('check',), 'another run holds the ledger'),
}

# Variable -> what a command finds in it: those of core/context.
CONTEXT = {
    'POLLRELOAD_CHANGED': 'the names of the files that changed since '
        '`POLLRELOAD_PREVIOUS`, one a line; empty if they are not known, as at a first '
        'delivery',
    'POLLRELOAD_CHANGED_MORE': 'how many names are missing there: those that contain a '
        'newline, and those after 32 KiB; `0` for none',
    'POLLRELOAD_FINGERPRINT': 'the version that is being delivered, as in the log',
    'POLLRELOAD_PREVIOUS': 'the last version that was up to date; empty if it is not '
        'known',
    'POLLRELOAD_WATCH': 'the name of the watch in the config file, or empty',
    'POLLRELOAD_PID': '`--verify`: the pid of the target. `--validate`, `--exec`: the '
        'pids of all targets, separated by spaces. Unset without a target',
}

# The fields of what `check --output json` prints.
ANSWER = {
    'watch': 'its name in the config file; absent without one',
    'status': 'the exit status as far as this watch decides it',
    'content': 'the version that is there now: `current`, `settling`, `due`, or '
        '`blank` if nothing could be read yet',
    'fingerprint': 'of that version, as in the log; empty if nothing could be read',
    'outcome': 'of the delivery: `done`, `needless` (every target had it already) or '
        '`failed`; empty if there was none',
    'events': 'what happened, in order: objects with `event`, `message` and the fields '
        'of the log, without `time`, `level`, `watch` and `pid`',
}

# Event and reason -> what it means. The reasons are those of the schema.
REASONS = {
    'warning': {
        'does not answer': 'a file of a request hangs (`--url-header-file`, '
            '`--url-ca`)',
        'no such file': 'nothing is at a path, or a file of a request is not there',
        'no target': 'nothing is due, and no process matches (`check`)',
        'one-file mount': 'a single file is mounted, which keeps its content when '
            'another is renamed over it on the host',
        'permission denied': 'a path, or a file of a request, may not be read',
        'readable by others': 'the file of `--url-header-file` can be read by others',
        'subpath': 'a `subPath` mount of Kubernetes is never updated',
        'unknown variable': 'a `POLLRELOAD_*` variable is not an option',
    },
    'baseline': {
        'needless': 'the target started late enough to have read the version',
    },
    'would': {
        'nothing due': 'nothing is delivered now; says what a change would do '
            '(`check --dry-run`)',
    },
    'stopped': {
        'config': 'the watch is not in the config file any more',
    },
    'changed': {
        'max wait': 'the last valid version is delivered although a newer one is there '
            '(`--max-wait`)',
        'outdated': 'the target started before the files were last changed',
        'restarted': 'the files changed and changed back, and this process may have '
            'read the version in between',
        'took over': 'a notified target has exited, and this process, which took over, '
            'is older than the version',
    },
    'held': {
        'ambiguous': 'several processes match, and none is the parent of the others',
        'ancestor': 'the target is a parent of pollreload, and may restart it',
        'backoff': 'the last attempt failed; the next one is due later',
        'became empty': 'a file became empty, a directory lost everything, or with '
            '`--on-missing notify` a path is missing (`--empty-grace`)',
        'breaker': 'three targets in a row died of the signal, or one whose runtime '
            'catches every signal',
        'config': 'the config file is refused; the watches go on as they were',
        'feedback loop': 'each delivery is followed by a change; deliveries are '
            'slowed down',
        'ledger': 'the ledger cannot be used; nothing is remembered',
        'limit': 'three signals of one version to one target had no result',
        'min interval': 'the last delivery was less than `--min-interval` ago',
        'never validated': 'for a minute each version was replaced while `--validate` '
            'ran',
        'no handler': 'the target ignores the signal, or would die of it',
        'no target': 'no process matches',
        'pending': 'the signal sent before is still pending',
        'pidfile': 'the pidfile cannot be believed',
        'proc': '/proc cannot be read',
        'still changing': 'the files have kept changing for a minute',
        'still running': 'the target still runs long after `TERM`, `INT`, `QUIT` or '
            '`KILL`, and is not sent it again for this version',
        'too young': 'the target has run for less than `--min-uptime`',
        'validation failed': '`--validate` failed',
    },
    'failed': {
        'changed meanwhile': 'the files changed while the delivery was verified',
        'died': 'the target exited after the signal, and nothing took over',
        'ended': 'the target exited before it was verified',
        'exec': 'an `--exec` failed',
        'fault': 'a fault in pollreload; the watch goes on',
        'ledger': 'the ledger could not be written',
        'not permitted': 'the kernel or a security module refused the signal',
        'not verified': '`--verify` or `--verify-workers` did not agree',
        'pending': 'the target did not take the signal',
        'proc': '/proc cannot be read',
        'queue full': 'the queue of real-time signals is full',
        'status file': 'the status file could not be written',
        'timeout': 'the time of `check` is over (`--timeout`)',
        'url': 'a `--url` failed',
    },
}


def options() -> dict[str, tuple[click.Option, list[str]]]:
    """Return each option by its long name, and the commands that have it."""
    found: dict[str, tuple[click.Option, list[str]]] = {}
    for name, command in main_module.pollreload.commands.items():
        for option in command.params:
            if isinstance(option, click.Option):
                found.setdefault(option.opts[-1], (option, []))[1].append(name)
    return found


def spelled(option: click.Option) -> str:
    """Return an option and its value, as code."""
    *short, long = reversed(option.opts) if len(option.opts) == 1 else option.opts
    value = '' if option.is_flag or option.count else f' {option.type.name}'
    if isinstance(option.type, click.Choice):
        value = f' {"|".join(option.type.choices)}'
    return ', '.join(f'`{each}`' for each in (*short, long + value))


def default(option: click.Option) -> str:
    """Return the default of an option, as code; '' if the help text says it."""
    return f'`{option.default}`' if option.show_default else ''


def used_by(names: list[str]) -> str:
    """Return the commands that have an option: 'all' for the three main ones."""
    return 'all' if {*names} == {*MAIN} else ', '.join(names)


def cell(text: str) -> str:
    """Return text as a cell of a table: a | would end it."""
    return text.replace('|', '\\|')


def rows(group: str) -> Iterator[str]:
    """Yield the rows of the options of a group."""
    for name, (option, names) in options().items():
        if getattr(option, 'group', '') == group:
            meaning = f'{option.help} {NOTES.get(name, "")}'.strip()
            variable = option.envvar[0] if isinstance(option.envvar, list) else ''
            cells = (
                spelled(option), default(option), used_by(names), f'`{variable}`',
                meaning,
            )
            yield f'| {" | ".join(map(cell, cells))} |'


def option_tables() -> Iterator[str]:
    """Yield the lines of the tables of options, one for each group of --help."""
    for group, sentence in options_module.GROUPS.items():
        yield from (
            '', f'### {group}', '', sentence, '',
            '| option | default | commands | variable | meaning |',
            '|---|---|---|---|---|', *rows(group),
        )


def statuses() -> Iterator[str]:
    """Yield the rows of the exit statuses."""
    for status, (names, meaning) in STATUSES.items():
        yield f'| {status} | {", ".join(names)} | {meaning} |'


def fields(schema: dict[str, Any], node: Any) -> Iterator[str]:
    """Yield the names of the fields that a part of the schema allows."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'properties':
                yield from value
            elif key == '$ref':
                yield from fields(schema, schema['$defs'][value.rpartition('/')[2]])
            elif key not in ('not', 'required'):
                yield from fields(schema, value)
    elif isinstance(node, list):
        for each in node:
            yield from fields(schema, each)


def events() -> Iterator[str]:
    """Yield the rows of the events: name, meaning, and fields of the JSON line."""
    schema = json.loads(SCHEMA.read_text('utf-8'))
    for event in schema['properties']['event']['enum']:
        found = schema['$defs'][event]
        names = dict.fromkeys(fields(schema, found))
        listed = ', '.join(f'`{name}`' for name in names)
        meaning = found['description'].removesuffix('.')
        yield f'| `{event}` | {meaning} | {listed} |'


def reasons() -> Iterator[str]:
    """Yield the rows of the reasons of an event."""
    for event, meanings in REASONS.items():
        for reason, meaning in meanings.items():
            yield f'| `{event}` | `{reason}` | {meaning} |'


def context() -> Iterator[str]:
    """Yield the rows of the variables that a command finds."""
    for name, meaning in CONTEXT.items():
        yield f'| `{name}` | {meaning} |'


def answer() -> Iterator[str]:
    """Yield the rows of the fields of `check --output json`."""
    for name, meaning in ANSWER.items():
        yield f'| `{name}` | {meaning} |'


def commands() -> Iterator[str]:
    """Yield the rows of the commands: synopsis and short help."""
    for name, command in main_module.pollreload.commands.items():
        arguments = ' '.join(
            each.metavar or '' for each in command.params
            if isinstance(each, click.Argument)
        )
        some = any(isinstance(each, click.Option) for each in command.params)
        usage = f'pollreload {name} {"[OPTIONS] " if some else ""}{arguments}'.strip()
        yield f'| `{usage}` | {command.short_help} |'


def page() -> str:
    """Return the page."""
    return '\n'.join((
        '# Reference', '',
        '<!-- Made by packaging/reference/build.py; do not edit. -->', '',
        'Every option, variable, exit status, event and field, for writing a command '
        'line or a', 'program that reads the log.', '',
        '## Commands', '', '| command | what it does |', '|---|---|', *commands(), '',
        'A PATH is a file, a directory (read recursively) or a quoted glob. A glob '
        'such as', '`app[1].conf` that is also the exact name of a file stands for '
        'that file, also while it is', 'away. A running `watch` stops on `TERM` and '
        '`INT`, polls now on `HUP`, and logs its status on', '`USR1`.', '',
        '`pollreload digest` prints digests as `xxhsum -H2` does. A name with control '
        'characters is', 'escaped, and its line begins with a backslash. A path that '
        'takes longer than a second has a', 'progress bar on a terminal (stderr).', '',
        '## Options', '',
        'The commands "all" are `watch`, `check` and `doctor`. A DURATION is `250ms`, '
        '`5s`, `2m`, `1h`', 'or plain seconds.',
        *option_tables(), '',
        '## Variables', '',
        'Every option can be set by an environment variable: `POLLRELOAD_` and its '
        'name. The paths', 'are in `POLLRELOAD_FILE`, separated by `:`. '
        '`POLLRELOAD_EXEC` and `POLLRELOAD_URL` may have', 'several lines, one for '
        'each value. `watch` also reads `FILE`, `PROCESS` and `SIGNAL`, as the',
        'well-known inotify sidecar does. The command line wins, then `POLLRELOAD_*`, '
        'then the short', 'names. An empty variable counts as unset. An unknown '
        '`POLLRELOAD_*` variable is reported with', 'the nearest name. '
        '`POLLRELOAD_FINGERPRINT_KEY` makes [fingerprints]'
        '(how-it-works.md#fingerprints)', 'comparable between hosts. '
        '`_POLLRELOAD_COMPLETE` asks for [completion](completion.md).', '',
        'systemd sets `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `JOURNAL_STREAM`: `watch` '
        'reports when it is', 'ready, its status, each completed poll, reloads and its '
        'end (sd_notify(3)). Commands do not get', 'the first two.', '',
        '## Environment of commands', '',
        '`--validate`, `--exec` and `--verify` find these besides the variables of '
        'pollreload.', '[actions.md](actions.md#what-changed) has an example.', '',
        '| variable | meaning |', '|---|---|', *context(), '',
        '## Exit status', '', '| status | commands | meaning |', '|---|---|---|',
        *statuses(), '',
        'A signal that ends `check` ends it as any other program: the shell shows 128 '
        'plus its number.', '',
        '## Output of check', '',
        'With `--output json`, one object on one line for each watch:', '',
        '| field | meaning |', '|---|---|', *answer(), '',
        '## Log', '',
        'One line on stderr for each event. With `--log-format json` it is an object '
        'with `time`,', '`level` (`info`, `warning`, `error`), `event`, `message`, '
        '`watch` (its name in the config', 'file, or empty), `pid` (of pollreload; '
        '`target_pid` is that of the target), and the fields below',
        '([schema](../packaging/schema/log.schema.json)). `logfmt` has the same '
        'fields. A text line that', 'goes to the journal of systemd begins with its '
        'priority instead of the time.', '', 'pollreload itself never shows the',
        'contents of a file; `held` and `failed` repeat the last lines that a command '
        'printed, and the', 'first lines that a server answered, which may quote one.',
        '', '| event | meaning | fields |', '|---|---|---|', *events(), '',
        '## Reasons', '',
        'The field `reason` of these events, and what it means. '
        '[troubleshooting.md](troubleshooting.md)', 'says what to do.', '',
        '| event | reason | meaning |', '|---|---|---|', *reasons(), '',
    ))


if __name__ == '__main__':
    PAGE.write_text(re.sub(r' +\n', '\n', page()), 'utf-8')
