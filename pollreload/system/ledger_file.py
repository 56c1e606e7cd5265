"""The file that keeps the memory of a watch between runs.

The only module that touches it. load() and save() need the lock; --dry-run and
doctor use peek().
"""
from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping

from pollreload.errors import LedgerBusy, LedgerError, LedgerKept
from pollreload.system import directories, safe_open

FORMAT = 1
LARGEST_LEDGER = 1 << 30  # bytes; a million files take about 64 MB
ELSEWHERE = 'name another with --state-file'


def lock(path: str) -> int:
    """Return a descriptor that holds the ledger until it is closed.

    Makes the directories that are missing (0700) and removes what a run that
    was killed while it saved has left.
    Raises LedgerBusy if another run holds it, LedgerError if it cannot be
    locked at all.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directories.make(os.path.dirname(os.path.abspath(path)), 0o700)
        held = os.open(f'{path}.lock', flags, 0o600)
    except OSError as error:
        raise failure('lock', path, error) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        sweep(path)
    except BlockingIOError as error:
        os.close(held)
        raise LedgerBusy(
            f'another run holds the ledger {path}; let it end, or {ELSEWHERE}',
        ) from error
    except OSError as error:
        os.close(held)
        raise failure('lock', path, error) from error
    return held


def busy(path: str) -> bool:
    """Return whether another run holds the ledger now; creates nothing."""
    try:
        fd = os.open(f'{path}.lock', os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def sweep(path: str) -> None:
    """Remove the temporary files of dead runs; the caller holds the lock.

    A pid comes back (a container's is often 1): its file would be in our way.
    """
    directory, name = os.path.split(os.path.abspath(path))
    for entry in os.listdir(directory):
        pid = entry.removeprefix(f'{name}.').removesuffix('.new')
        if pid.isdecimal() and entry == temporary(name, int(pid)):
            os.unlink(os.path.join(directory, entry))


def temporary(path: str, pid: int) -> str:
    """Return the name that a process gives to a ledger that it is writing."""
    return f'{path}.{pid}.new'


def load(path: str) -> dict[str, object] | None:
    """Return the memory that save was given, or None if there is no ledger.

    Raises LedgerKept for one that is corrupt or newer: it has been renamed to
    LEDGER.kept-TIME (UTC), so that a run can start afresh. Raises LedgerError
    for one that cannot be used at all, which is left alone.
    """
    text = read_ledger(path)
    if text is None:
        return None
    memory, fault = parse_ledger(text)
    if fault:
        try:
            kept = aside(path)
        except OSError as error:
            raise failure('keep aside', path, error) from error
        raise LedgerKept(f'the ledger {path} {fault}; it is kept as {kept}')
    return memory


def peek(path: str) -> dict[str, object] | None:
    """Return the same as load, and change nothing. Raises the same errors."""
    text = read_ledger(path)
    if text is None:
        return None
    memory, fault = parse_ledger(text)
    if fault:
        raise LedgerKept(f'the ledger {path} {fault}; the next run keeps it aside')
    return memory


def read_ledger(path: str) -> bytes | None:
    """Return the bytes of a ledger, None if there is none. Raises LedgerError."""
    try:
        with open(safe_open.open_regular(path, follow=False), 'rb') as file:
            if os.fstat(file.fileno()).st_size > LARGEST_LEDGER:
                raise LedgerError(
                    f'the ledger {path} is larger than {LARGEST_LEDGER >> 20} MiB; '
                    f'remove it, or {ELSEWHERE}',
                )
            return file.read()
    except FileNotFoundError:
        return None
    except safe_open.NotRegular as error:
        raise LedgerError(
            f'the ledger {path} {error}; remove it, or {ELSEWHERE}',
        ) from error
    except OSError as error:
        raise failure('read', path, error) from error


def present(path: str) -> bool:
    """Return whether a regular file is there.

    Raises LedgerError if it is anything else, OSError if that cannot be read.
    """
    try:
        safe_open.check_regular(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
    except safe_open.NotRegular as error:
        says = f'the ledger {path} {error}; remove it, or {ELSEWHERE}'
        raise LedgerError(says) from error
    return True


def parse_ledger(text: bytes) -> tuple[dict[str, object], str]:
    """Return the memory, and what is wrong with it or ''."""
    try:
        memory = json.loads(text)
    except (ValueError, RecursionError):
        return {}, 'is corrupt (not JSON, or cut short)'
    if not isinstance(memory, dict):
        return {}, 'is corrupt (no JSON object)'
    version = memory.pop('version', None)
    # bool is an int, and true is no version.
    if type(version) is not int or version < 1:
        return {}, 'is corrupt (no version)'
    if version > FORMAT:
        return {}, f'is of a newer pollreload (version {version}, not {FORMAT})'
    return memory, ''


def aside(path: str) -> str:
    """Rename a ledger to a name that is free and return the name."""
    stamp = time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())
    kept, count = f'{path}.kept-{stamp}', 1
    # No race: the lock is held when a ledger is renamed.
    while os.path.lexists(kept):
        kept, count = f'{path}.kept-{stamp}-{count}', count + 1
    os.rename(path, kept)
    return kept


def save(path: str, memory: Mapping[str, object]) -> None:
    """Replace the ledger: afterwards it is the old one or the new, never a part.

    memory: what JSON can hold; the key 'version' is the ledger's own.
    Raises LedgerError.
    """
    new = temporary(path, os.getpid())
    try:
        text = json.dumps({**memory, 'version': FORMAT}).encode('ascii') + b'\n'
        if len(text) > LARGEST_LEDGER:
            raise LedgerError(
                f'cannot write the ledger {path}: it would be larger than '
                f'{LARGEST_LEDGER >> 20} MiB; watch fewer files',
            )
        # A rename would replace a link, which somebody has put there for a reason.
        present(path)
        write_synced(new, text)
        os.rename(new, path)
        sync(os.path.dirname(os.path.abspath(path)))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise failure('write', path, error) from error
    except MemoryError as error:
        raise LedgerError(f'cannot write the ledger {path}: no memory') from error


def write_synced(path: str, text: bytes) -> None:
    """Create a file (0600), and return once its bytes are on the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        # write(2) may take less than it is given: a disk that fills, a limit.
        while text:
            text = text[os.write(fd, text):]
        os.fsync(fd)
    finally:
        os.close(fd)


def sync(directory: str) -> None:
    """Return once the names in a directory are on the disk."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        # A file system without fsync for directories (vboxsf) says EINVAL.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)


def ledger_trouble(path: str) -> str:
    """Return '' or why the ledger could not be read, locked and saved.

    Creates nothing; see directories.write_trouble.
    """
    try:
        if says := directories.write_trouble(path):
            return f'{says}; {ELSEWHERE}'
        for file, wanted in ((path, os.R_OK), (f'{path}.lock', os.R_OK | os.W_OK)):
            if present(file) and not os.access(file, wanted, effective_ids=True):
                return f'no permission to use {file}; {ELSEWHERE}'
    except LedgerError as error:
        return str(error)
    except OSError as error:
        return str(failure('write', path, error))
    return ''


def failure(what: str, path: str, error: OSError) -> LedgerError:
    """Return the error to raise for one of the kernel's."""
    why = (error.strerror or str(error)).lower()
    return LedgerError(f'cannot {what} the ledger {path}: {why}; {ELSEWHERE}')
