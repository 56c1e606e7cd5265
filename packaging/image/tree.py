"""Lay out what is in the image: an interpreter, what pollreload imports, pollreload.

tree.py ROOT: all of it is in ROOT/usr/local/lib, which runs wherever it is put,
given its own loader (`pollreload install-to` puts it elsewhere). The rest is a
program of two lines, and the names that the kernel looks for a loader by. It is
taken from the interpreter that runs this, and whatever hangs on the architecture
is read from there.
"""
from __future__ import annotations

import configparser
import os
import py_compile
import re
import shutil
import struct
import subprocess
import sys
from importlib import metadata
from importlib.machinery import BYTECODE_SUFFIXES, FrozenImporter, ModuleSpec
from pathlib import Path

from closure import closure, modules
from sbom import bill

HERE = Path(__file__).resolve().parents[2]
LIB = 'usr/local/lib'
STDLIB = f'python{sys.version_info[0]}.{sys.version_info[1]}'
LANDMARK = 'os'  # that an interpreter finds its standard library by
# Isolated, and without the import of site, for all is in one directory; in UTF-8,
# for a locale may ask for an encoding that is not here.
FLAGS = '-ISXutf8'
PROGRAM = f'''\
#!/{LIB}/python3 {FLAGS}
from pollreload.__main__ import command
command()
'''
ELF = b'\x7fELF'


def cut(elf: bytes) -> bytes:
    """Return a library without what is not loaded: symbols and debug information.

    What is loaded is named by the program headers (elf(5)); the section headers,
    and what only they name, may go. Only for 64 bits.
    """
    end = 0
    at, size, count = *struct.unpack_from('<Q', elf, 32), *struct.unpack_from(
        '<HH', elf, 54)
    for number in range(count):
        offset, = struct.unpack_from('<Q', elf, at + number * size + 8)
        length, = struct.unpack_from('<Q', elf, at + number * size + 32)
        end = max(end, offset + length)
    head = bytearray(elf[:max(end, at + size * count)])
    struct.pack_into('<Q', head, 40, 0)  # e_shoff
    struct.pack_into('<HHH', head, 58, 0, 0, 0)  # e_shentsize, e_shnum, e_shstrndx
    return bytes(head)


def copied(source: str | Path, place: Path) -> None:
    """Put a program or a library into place."""
    elf = Path(source).read_bytes()
    if elf[:6] != ELF + b'\2\1':
        raise SystemExit(f'tree.py: {source} is not for 64 bits and little-endian')
    place.write_bytes(cut(elf))
    place.chmod(0o755)


def library(stdlib: Path, name: str, spec: ModuleSpec) -> None:
    """Put a module into the standard library."""
    origin = spec.origin or ''
    if not origin.startswith('/'):
        return  # it is built in
    if name != LANDMARK and FrozenImporter.find_spec(name) is not None:
        return  # so it is, too
    place = stdlib / name.replace('.', '/')
    if spec.submodule_search_locations is not None:
        place = place / '__init__'
    place.parent.mkdir(parents=True, exist_ok=True)
    if not origin.endswith('.py'):
        # Of no package: where an interpreter looks for what is not portable.
        place = place.parent if '.' in name else stdlib / 'lib-dynload'
        copied(origin, place / os.path.basename(origin))
        return
    # The docstrings are of use where they are ours: click prints them.
    compiled(stdlib, place, origin, name.partition('.')[0] != 'pollreload')


def compiled(stdlib: Path, place: Path, source: str | Path, bare: bool) -> None:
    """Put a module that is written in Python into place, which has no suffix.

    bare: without its docstrings.
    """
    # Without its source, nobody asks whether that has changed.
    py_compile.compile(
        str(source), f'{place}{BYTECODE_SUFFIXES[0]}',
        dfile=str(place.relative_to(stdlib)) + '.py', doraise=True,
        optimize=2 if bare else 0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def linked(file: str | Path) -> dict[str, str]:
    """Return the libraries that a program or a library needs: name -> path, by ldd.

    The loader is named by the path that the kernel looks for it at.
    """
    done = subprocess.run(
        ['ldd', str(file)], stdout=subprocess.PIPE, check=True, text=True,
    )
    if 'not found' in done.stdout:
        raise SystemExit(f'tree.py: {file}:\n{done.stdout}')
    libraries = {}
    for name, path in re.findall(r'^\t(\S+)(?: => (/\S+))? \(', done.stdout, re.M):
        if path or name.startswith('/'):
            libraries[name] = path or name
    return libraries


def described(stdlib: Path) -> None:
    """Write the metadata of pollreload, and all licences.

    The version is that of setup.cfg and, if COMMIT is set, the start of the commit.
    """
    config = configparser.ConfigParser()
    config.read(HERE / 'setup.cfg', encoding='utf-8')
    ours = config['metadata']
    commit = os.environ.get('COMMIT', '')[:12]
    version = f'{ours["version"]}+{commit}' if commit else ours['version']
    place = stdlib / f'pollreload-{version}.dist-info'
    place.mkdir()
    (place / 'METADATA').write_text(
        f'Metadata-Version: 2.4\nName: pollreload\nVersion: {version}\n'
        f'Summary: {ours["description"]}\n'
        f'License-Expression: {ours["license_expression"]}\nLicense-File: LICENSE\n',
    )
    (place / 'licenses').mkdir()
    shutil.copyfile(HERE / 'LICENSE', place / 'licenses/LICENSE')
    needed = config['options']['install_requires']
    for name in re.findall(r'^[\w-]+', needed, re.M):
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            if '.dist-info/licenses/' in str(file) or file.name == 'METADATA':
                (stdlib / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(distribution.locate_file(file)), stdlib / file)
    licence = Path(os.__file__).with_name('LICENSE.txt')
    if licence.exists():
        shutil.copyfile(licence, stdlib / licence.name)


def lay(root: Path) -> list[str]:
    """Lay all of it out in an empty directory; return the modules that are there."""
    lib = root / LIB
    stdlib = lib / STDLIB
    (stdlib / 'lib-dynload').mkdir(parents=True)
    there = closure(modules('pollreload'))
    for name, spec in there.items():
        library(stdlib, name, spec)
    hostnames = HERE / 'packaging/image/hostnames.py'
    compiled(stdlib, stdlib / 'encodings/idna', hostnames, True)
    described(stdlib)
    python = os.path.realpath(sys.executable)
    copied(python, lib / 'python3')
    needed = linked(python)
    for spec in there.values():
        if (spec.origin or '').endswith('.so'):
            needed |= linked(spec.origin or '')
    sources = [python, *needed.values()]
    for name, path in needed.items():
        if not name.startswith('/'):
            copied(path, lib / name)
            continue
        # The loader: its name is what shows as comm where it is what is run.
        copied(path, lib / 'pollreload')
        (lib / os.path.basename(name)).symlink_to('pollreload')
        # It is looked for there by the kernel, and in /lib it looks for the others.
        for link in {'lib', name.split('/')[1]}:
            (root / link).symlink_to(LIB)
    (root / LIB).parent.joinpath('bin').mkdir()
    program = (root / LIB).parent / 'bin/pollreload'
    program.write_text(PROGRAM)
    program.chmod(0o755)
    share = (root / LIB).parent / 'share/pollreload'
    share.mkdir(parents=True)
    (share / 'sbom.cdx.json').write_text(bill(root, stdlib, sources))
    return [name for name in there if not name.startswith('pollreload.__')]


def level(root: Path) -> None:
    """Give all of it one time and plain modes: what is made twice is to be the same."""
    for path in [root, *root.rglob('*')]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (0, 0), follow_symlinks=False)


TRIAL = '''
import sys
from importlib import import_module
for name in sys.argv[1:]:
    import_module(name)
'''


def tried(root: Path, names: list[str]) -> None:
    """Import all modules with the interpreter of the tree; raise if one complains."""
    lib = root / LIB
    done = subprocess.run(
        [lib / 'pollreload', '--library-path', lib, lib / 'python3', FLAGS, '-c', TRIAL,
         *names],
        stderr=subprocess.PIPE, check=False, cwd='/', text=True,
    )
    if done.returncode or done.stderr:
        raise SystemExit(f'tree.py: a module cannot be imported:\n{done.stderr}')


if __name__ == '__main__':
    place = Path(sys.argv[1]).resolve()
    inside = lay(place)
    level(place)
    tried(place, inside)
