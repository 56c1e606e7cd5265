"""Scripts of packaging/ as modules: its name is that of a library, so by path."""
from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

from tests.support.sidecar import ROOT


def load(path: str) -> ModuleType:
    """Import a script by its path below packaging/, as 'image/closure.py'.

    Its directory is on sys.path while it is imported, as when it is run.
    """
    path = os.path.join(ROOT, 'packaging', path)
    name = os.path.basename(path).removesuffix('.py')
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, os.path.dirname(path))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module
