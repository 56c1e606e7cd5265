"""Run Helm against an API server that only stores: python -m tests.support.helm DIR

Reads a list of steps as JSON from stdin, prints a list of answers. A step is
["lint", chart], ["package", chart], ["uninstall", release], or
["install" or "upgrade", release, chart, values]. An answer has `error`, or `objects`,
those in the cluster after the step, and the `result` of Helm.
"""
from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import helm_sdkpy as helm  # type: ignore[import-not-found,import-untyped,unused-ignore]

from tests.support import api_server


def run_action(config: Any, what: str, *arguments: Any) -> Any:
    """Run one step."""
    if what in ('lint', 'package'):
        action = {'lint': helm.Lint, 'package': helm.Package}[what](config)
        return asyncio.run(action.run(*arguments))
    if what == 'uninstall':
        return asyncio.run(helm.Uninstall(config).run(*arguments, wait=False))
    action = {'install': helm.Install, 'upgrade': helm.Upgrade}[what](config)
    return asyncio.run(action.run(*arguments, wait=False, timeout=20))


def main(directory: str, old: bool) -> None:
    """Run the steps of stdin."""
    known = {**api_server.CORE, **api_server.APPS, **api_server.MONITORING}
    answers: list[dict[str, Any]] = []
    with api_server.running(
            Path(directory), known if old else {**known, **api_server.ADMISSION},
    ) as server:
        config = helm.Configuration('shop', kubeconfig=server.kubeconfig)
        for step in json.load(sys.stdin):
            try:
                result = run_action(config, *step)
                objects = list(server.objects.values())
                answers.append({'result': result, 'objects': objects})
            except helm.HelmError as error:
                answers.append({'error': str(error)})
    json.dump(answers, sys.stdout)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:] == ['old'])
