"""What pollreload imports, and what that imports: the modules that an image needs.

The sources are read to find out. Of pollreload and of what it depends on every
import counts, wherever it stands, also in a program that is a string. Of the
standard library those count that run when a module is imported, and within a
function those of the same package (email needs email.parser); through the others
(pickle -> doctest -> pdb -> ...) all of it hangs together.

closure.py PACKAGE...: print the modules, one a line, each with its file.
"""
from __future__ import annotations

import ast
import encodings
import functools
import os
import pkgutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from typing import NamedTuple

LIBRARY = sysconfig.get_path('stdlib')
DEFERRED = (ast.FunctionDef, ast.AsyncFunctionDef)
# OpenSSL has 6 MB. Without it pollreload refuses https in one line; TLS=1 takes it.
WITHOUT = frozenset(('hashlib',) if os.environ.get('TLS') else ('ssl', 'hashlib'))
# Nor does anybody make an email.message.EmailMessage, which asks for this.
UNASKED = frozenset(('email.policy',))


class Imported(NamedTuple):
    """A name that is imported; it may be no module (`from os import sep`).

    needed: without it, what imports it cannot be imported. deferred: within a
    function. optional: what imports it can do without.
    """

    name: str
    needed: bool
    deferred: bool
    optional: bool


@functools.cache
def found(name: str) -> ModuleSpec | None:
    """Return where a module is, by its full name; None if it is none."""
    if name in sys.builtin_module_names:
        return ModuleSpec(name, None, origin='built-in')
    path, spec = None, None
    words = name.split('.')
    for number in range(len(words)):
        if number and path is None:
            return None
        spec = PathFinder.find_spec('.'.join(words[:number + 1]), path)
        if spec is None:
            return None
        path = spec.submodule_search_locations
    return spec


def known(test: ast.expr) -> bool | None:
    """Return what a condition is, where that hangs on the platform alone."""
    words = {each.id for each in ast.walk(test) if isinstance(each, ast.Name)}
    if 'TYPE_CHECKING' in ast.unparse(test):
        return False
    if not words <= {'sys', 'os', '__name__'} or 'environ' in ast.unparse(test):
        return None
    try:
        code = compile(ast.Expression(test), '', 'eval')
        return bool(eval(code, {'sys': sys, 'os': os, '__name__': 'imported'}))
    except (AttributeError, TypeError):
        return None


def imports(
        body: Iterable[ast.AST], package: str, always: bool = True,
        deferred: bool = False, optional: bool = False,
) -> Iterator[Imported]:
    """Give what statements import, those left out that cannot run.

    package: that of the module they stand in. always: they run with it.
    """
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for number, name in enumerate(names(node, package)):
                module = not number or isinstance(node, ast.Import)
                yield Imported(name, always and module, deferred, optional)
        elif isinstance(node, ast.If) and known(node.test) is not None:
            taken = node.body if known(node.test) else node.orelse
            yield from imports(taken, package, always, deferred, optional)
        elif isinstance(node, ast.Try) and excused(node):
            yield from imports(node.body, package, False, deferred, True)
            rest: list[ast.AST] = [*node.orelse, *node.finalbody]
            if any(found(name) is None for each in node.body
                   for name in names(each, package)[:1]):
                rest += node.handlers
            yield from imports(rest, package, False, deferred, optional)
        else:
            # No expression has a statement in it.
            inside = (
                each for each in ast.iter_child_nodes(node)
                if not isinstance(each, ast.expr)
            )
            later = deferred or isinstance(node, DEFERRED)
            yield from imports(inside, package, False, later, optional)


def excused(node: ast.Try) -> bool:
    """Whether what is tried may fail to be imported."""
    caught = ' '.join(ast.unparse(each.type) for each in node.handlers if each.type)
    return 'ImportError' in caught or 'ModuleNotFoundError' in caught


def names(node: ast.AST, package: str) -> list[str]:
    """Return the names that a statement imports, first the module itself."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    words = package.split('.') if node.level else []
    words = words[:len(words) - node.level + 1]
    base = '.'.join([*words, *filter(None, [node.module])])
    return [base, *(f'{base}.{alias.name}' for alias in node.names)]


def codec(word: str) -> str:
    """Return the module of an encoding, by any of its names; '' for what is none."""
    name = encodings.normalize_encoding(word).lower()
    name = f'encodings.{encodings.aliases.aliases.get(name, name)}'
    return name if name.isascii() and found(name) else ''


def spoken(tree: ast.AST) -> Iterator[str]:
    """Give what the constants of a module stand for: encodings, and whole programs."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if codec(node.value):
            yield codec(node.value)
        if 'import ' in node.value:
            try:
                program = ast.parse(node.value)
            except SyntaxError:
                continue
            yield from (each.name for each in imports(program.body, ''))


def standard(spec: ModuleSpec) -> bool:
    """Whether a module is part of the standard library."""
    origin = spec.origin or ''
    return not origin.startswith('/') or (
        origin.startswith(f'{LIBRARY}/') and '-packages/' not in origin
    )


def needs(name: str, spec: ModuleSpec) -> list[str]:
    """Return what a module imports, and the package that it is in.

    Raises ModuleNotFoundError where it cannot be imported on this platform.
    """
    wanted = [name.rpartition('.')[0]] if '.' in name else []
    if not (spec.origin or '').endswith('.py'):
        return wanted
    with open(spec.origin or '', 'rb') as file:
        tree = ast.parse(file.read())
    package = name
    if spec.submodule_search_locations is None:
        package = name.rpartition('.')[0]
    for each in imports(tree.body, package):
        root = each.name.split('.')[0]
        # An interpreter makes some modules by itself (os.path).
        if each.needed and not (found(each.name) or each.name in sys.modules):
            raise ModuleNotFoundError(f'{name} needs {each.name}')
        # What is private and optional makes it fast (_json, _heapq), and what is
        # public and optional is for what we do not ask of it (lzma of shutil).
        own = root == package.split('.')[0] and each.name not in UNASKED
        if not standard(spec) or own or (
            not each.deferred and (not each.optional or root.startswith('_'))
        ):
            wanted.append(each.name)
    if not standard(spec):
        wanted += spoken(tree)
    return wanted


def at_start() -> list[str]:
    """Return what an interpreter has imported before it runs a line of ours."""
    done = subprocess.run(
        [sys.executable, '-I', '-c', 'import runpy, sys; print(*sys.modules)'],
        stdout=subprocess.PIPE, check=True, text=True,
    )
    return done.stdout.split()


def modules(package: str) -> list[str]:
    """Return a package and all modules in it."""
    spec = found(package)
    if spec is None:
        raise SystemExit(f'closure.py: there is no {package}')
    inside = pkgutil.iter_modules(spec.submodule_search_locations)
    return [package, *(f'{package}.{each.name}' for each in inside)]


def closure(names: Iterable[str]) -> dict[str, ModuleSpec]:
    """Return what some modules need, themselves too: name -> where it is.

    Nothing of WITHOUT, and what only that needs.
    """
    seen: dict[str, ModuleSpec] = {}
    asked = {*WITHOUT}
    todo = [*names, *at_start()]
    while todo:
        name = todo.pop()
        spec = None if name in asked else found(name)
        asked.add(name)
        if spec is not None:
            try:
                todo += needs(name, spec)
            except ModuleNotFoundError:
                continue  # click's for Windows
            seen[name] = spec
    return dict(sorted(seen.items()))


if __name__ == '__main__':
    for module, where in closure(
        each for package in sys.argv[1:] for each in modules(package)
    ).items():
        print(module, where.origin)
