"""What may be meant by a process name that no process has."""
from __future__ import annotations

import difflib
import fnmatch
import re
import shlex
from collections.abc import Collection, Sequence

from pollreload.core.process import Process, goes_by, script
from pollreload.settings import Settings, conditions
from pollreload.system import process_table, visibility

MOST_NAMES = 5
LISTING = 'pollreload doctor without --process lists what runs'
PATTERN = re.compile(r'[*?\[\]^$|(){}\\+]')
# Names of one program: of its package, its project, its process.
PROGRAM_ALIASES = (
    ('apache', 'apache2', 'httpd'),
    ('bind', 'bind9', 'named'),
    ('chrony', 'chronyd'),
    ('clamav', 'clamd'),
    ('coturn', 'turnserver'),
    ('cron', 'crond'),
    ('dhcp', 'isc-dhcp-server', 'dhcpd'),
    ('docker', 'dockerd'),
    ('exim', 'exim4'),
    ('freeradius', 'radiusd'),
    ('grafana', 'grafana-server'),
    ('influxdb', 'influxd'),
    ('ldap', 'openldap', 'slapd'),
    ('mongo', 'mongodb', 'mongod'),
    ('mysql', 'mysqld', 'mariadb', 'mariadbd'),
    ('nginx', 'openresty', 'angie'),
    ('node', 'nodejs', 'MainThread'),
    ('ntp', 'ntpsec', 'ntpd'),
    ('openssh', 'ssh', 'sshd'),
    ('pdns', 'powerdns', 'pdns_server'),
    ('postfix', 'master'),
    ('postgresql', 'postgres', 'postmaster'),
    ('rabbitmq', 'beam.smp'),
    ('redis', 'redis-server', 'valkey', 'valkey-server'),
    ('samba', 'smbd'),
    ('smartmontools', 'smartd'),
    ('spamassassin', 'spamd'),
    ('strongswan', 'charon', 'starter'),
    ('stunnel', 'stunnel4'),
    ('supervisor', 'supervisord'),
    ('syslog', 'rsyslog', 'rsyslogd', 'syslogd', 'syslog-ng'),
    ('varnish', 'varnishd'),
)


def explain_no_match(settings: Settings) -> str:
    """Return why no process meets the conditions, with the nearest names.

    It reads the whole process table.
    """
    name = settings.process
    others = conditions(settings._replace(process=None))
    if remedy := visibility.hidden():
        one = f'one may meet {others}' if name is None else (
            f'{name!r} may be one of them'
        )
        return f'{visibility.HIDDEN}, so {one}; {remedy}'
    for process in process_table.matches(name, settings.cmdline, settings.uid, True):
        # A pidfile names a process itself: see runtime.pidfile_target.
        if process.nested and not settings.all_namespaces and not settings.pidfile:
            return (
                f'{process} runs in another pid namespace (a container); add '
                f'--all-namespaces to signal it there'
            )
    if name is None:
        return f'no process meets {others}'
    # Our own children meet none of them, but exist.
    if others and not all(map(process_table.ours, process_table.candidates(name))):
        return f'no process called {name!r} meets {others}'
    return unknown(name)


def unknown(name: str, root: str = '/proc') -> str:
    """Return that no process has a name, and which process may be meant."""
    us = process_table.own_pid(root)
    for pid in process_table.candidates(name, root):
        if pid != us and process_table.ours(pid, root):
            return (
                f'{name} (pid {pid}) was started below pollreload, which never signals '
                f'its own children; exec the program instead: '
                f'pollreload watch ... & exec {name}'
            )
    seen = process_table.others(root)
    for process in seen:
        if goes_by(process, name):
            return f'{process} started only now'
    says = f'no process is called {name!r}'
    if PATTERN.search(name):
        says += ', and --process takes an exact name, not a pattern'
    above = set(process_table.ancestors(us, root))
    if hint := describe_nearest(name, seen, above):
        says += f'; {hint}'
    if visibility.alone(seen, root):
        return f'{says}; {visibility.SHARE}'
    return says if hint else f'{says}; {LISTING}'


def describe_nearest(name: str, seen: Sequence[Process], above: Collection[int]) -> str:
    """Describe the process that a name may mean, '' if none is near.

    seen: all processes but ours; above: the pids that we descend from. The
    strongest evidence comes first.
    """
    # Not the path of the program, nor its arguments.
    word = name.rpartition('/')[2].partition(' ')[0]
    shells = {
        process.ppid for process in seen if is_pollreload(process)
    } & {
        process.pid for process in seen
        if any('pollreload' in argument for argument in process.cmdline)
    }
    beside = [
        process for process in seen if process.pid not in above
        # Another pollreload has the name in its arguments, too.
        and not is_pollreload(process) and process.pid not in shells
    ]
    if here := under_other_name(word, beside):
        return here
    for process in beside if len(word) > 2 else ():
        if word.lower() not in process.comm.lower() and any(
                word.lower() in program.lower() for program in programs(process)
        ):
            return (
                f'there is {process.comm!r} (pid {process.pid}), which runs '
                f'{word!r}: {selecting_options(process, word)}'
            )
    near = similar(word, seen)
    for process in beside if not near and len(word) > 2 else ():
        if mentions(process, word):
            return (
                f'there is {process.comm!r} (pid {process.pid}) with {word!r} in its '
                f'arguments: {selecting_options(process, word)}'
            )
    every = list(dict.fromkeys(process.comm for process in seen))
    near = near or close(word, every) or (every if len(every) <= MOST_NAMES else [])
    if not near:
        return ''
    *more, last = (repr(comm) for comm in near)
    return f'there are {", ".join(more)} and {last}' if more else f'there is {last}'


def alias_hint(name: str) -> str:
    """Return that a program runs under another of its names, or ''.

    That is certain even at a start that comes before the start of the program.
    """
    if not other_names(name) or process_table.candidates(name):
        return ''
    here = under_other_name(name, process_table.others('/proc'))
    return f'no process is called {name!r}; {here}' if here else ''


def under_other_name(name: str, processes: Sequence[Process]) -> str:
    """Return which process has another name of a program, or ''."""
    for process in processes:
        if process.comm in other_names(name):
            return f'it is called {process.comm!r} here: {selecting_options(process)}'
    return ''


def is_pollreload(process: Process) -> bool:
    """Return whether a process is another pollreload."""
    return 'pollreload' in programs(process) or any(
        pair == ('-m', 'pollreload')
        for pair in zip(process.cmdline, process.cmdline[1:], strict=False)
    )


def other_names(name: str) -> frozenset[str]:
    """Return the other names of a program."""
    return frozenset(
        alias for group in PROGRAM_ALIASES if name.lower() in group
        for alias in group if alias.lower() != name.lower()
    )


def selecting_options(process: Process, word: str = '') -> str:
    """Return the options that select a process, also by text in its arguments.

    A name that the kernel cut off is given in full, to be confirmed.
    """
    full = [each for each in programs(process) if goes_by(process, each)]
    name = full[0] if full else process.comm
    more = '' if word.lower() in name.lower() else f" --cmdline '{re.escape(word)}'"
    return f'--process {shlex.quote(name)}{more}'


def programs(process: Process) -> list[str]:
    """Return the basenames of argv[0] and of the script that it may run."""
    return [
        argument.rpartition('/')[2]
        for argument in (*process.cmdline[:1], *script(process.cmdline))
    ]


def mentions(process: Process, word: str) -> bool:
    """Return whether the arguments of a process contain a name as a whole."""
    pattern = f'(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])'
    return re.search(pattern, ' '.join(process.cmdline), re.IGNORECASE) is not None


def similar(name: str, processes: Sequence[Process]) -> list[str]:
    """Return the comms that contain a name, are its beginning, or match it."""
    lower = name.lower()
    every = list(dict.fromkeys(process.comm for process in processes))
    return list(dict.fromkeys((
        *(comm for comm in every if lower in comm.lower()),
        *(comm for comm in every if comm and lower.startswith(comm.lower())),
        *(comm for comm in every if pattern_matches(name, comm)),
    )))[:MOST_NAMES]


def pattern_matches(pattern: str, comm: str) -> bool:
    """Return whether a name that is a regular expression or a glob matches."""
    if not PATTERN.search(pattern):
        return False
    try:
        return re.match(pattern, comm) is not None
    except re.error:
        return fnmatch.fnmatch(comm, pattern)


def close(name: str, comms: Sequence[str]) -> list[str]:
    """Return the comms that are spelled almost like a name, the nearest first."""
    return difflib.get_close_matches(name, comms, MOST_NAMES)
