"""The software bill of materials of the image, in the format of CycloneDX 1.6."""
from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

ELF = b'\x7fELF'


def distributions(stdlib: Path) -> Iterator[dict[str, Any]]:
    """Yield pollreload and what it needs, by their metadata in the image."""
    for each in metadata.distributions(path=[str(stdlib)]):
        component: dict[str, Any] = {
            'type': 'library', 'name': each.name, 'version': each.version,
            'purl': f'pkg:pypi/{each.name}@{each.version}'.replace('+', '%2B'),
        }
        licence = each.metadata.get('License-Expression')
        if licence:
            component['licenses'] = [{'expression': licence}]
        yield component


def packages(sources: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the Debian packages that files come from; none if there is no dpkg."""
    if shutil.which('dpkg-query') is None:
        return
    found = set()
    for source in sources:
        # dpkg knows a library by the path before or after the merge of /usr.
        real = os.path.realpath(source)
        for path in (source, real, real.removeprefix('/usr')):
            owner = output('dpkg-query', '--search', path)
            if owner:
                found.add(owner.partition(': ')[0])
                break
    wanted = '${Package}\t${Version}\t${Architecture}\n'
    for each in sorted(found):
        name, version, architecture = output(
            'dpkg-query', '--show', f'--showformat={wanted}', each,
        ).split()
        yield {
            'type': 'library', 'name': name, 'version': version,
            'purl': f'pkg:deb/debian/{name}@{version}?arch={architecture}'.replace(
                '+', '%2B'),
        }


def output(*command: str) -> str:
    """Return the output of a command; '' if it fails."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        check=False,
    )
    return done.stdout.strip() if not done.returncode else ''


def binaries(root: Path) -> Iterator[dict[str, Any]]:
    """Yield every program and library below a directory, with its digest."""
    for path in sorted(root.rglob('*')):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if data.startswith(ELF):
                yield {
                    'type': 'file', 'name': f'/{path.relative_to(root)}', 'hashes': [
                        {'alg': 'SHA-256', 'content': hashlib.sha256(data).hexdigest()},
                    ],
                }


def bill(root: Path, stdlib: Path, sources: Iterable[str]) -> str:
    """Return the bill of an image that is laid out in a directory.

    stdlib: its standard library. sources: the files that its interpreter and its
    libraries were copied from.
    """
    found = sorted(distributions(stdlib), key=lambda each: str(each['name']))
    (ours,) = (each for each in found if each['name'] == 'pollreload')
    python = platform.python_version()
    return json.dumps({
        'bomFormat': 'CycloneDX', 'specVersion': '1.6', 'version': 1,
        'metadata': {'component': {
            'type': 'container', 'name': 'pollreload', 'version': ours['version'],
        }},
        'components': [
            *found,
            {'type': 'platform', 'name': 'CPython', 'version': python,
             'purl': f'pkg:generic/python@{python}'},
            *packages(sources), *binaries(root),
        ],
    }, indent=1) + '\n'
