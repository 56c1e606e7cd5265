"""An API server that only stores: enough for Helm to install a chart into it.

It has no schemas, no defaults and no admission. Only for loopback.
"""
from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Json = dict[str, Any]
# Group and version -> the resources and their kinds; namespaced ones begin with +.
CORE = {'v1': {'+configmaps': 'ConfigMap', '+secrets': 'Secret', '+pods': 'Pod'}}
APPS = {'apps/v1': {'+deployments': 'Deployment'}}
MONITORING = {'monitoring.coreos.com/v1': {
    '+podmonitors': 'PodMonitor', '+prometheusrules': 'PrometheusRule',
}}
ADMISSION = {'admissionregistration.k8s.io/v1': {
    'mutatingadmissionpolicies': 'MutatingAdmissionPolicy',
    'mutatingadmissionpolicybindings': 'MutatingAdmissionPolicyBinding',
    'validatingadmissionpolicies': 'ValidatingAdmissionPolicy',
    'validatingadmissionpolicybindings': 'ValidatingAdmissionPolicyBinding',
}}
Resources = Mapping[str, Mapping[str, str]]


class Server(NamedTuple):
    """A server that runs;
    objects: those stored, by the path of each.
    """

    kubeconfig: str
    objects: dict[str, Json]


def discovery(resources: Resources) -> dict[str, Json]:
    """Return the answers by which a client finds the resources, by path."""
    groups = [each.split('/') for each in resources if '/' in each]
    answers: dict[str, Json] = {
        '/version': {'major': '1', 'minor': '36', 'gitVersion': 'v1.36.0'},
        '/api': {'kind': 'APIVersions', 'versions': ['v1']},
        '/apis': {'kind': 'APIGroupList', 'apiVersion': 'v1', 'groups': [{
            'name': group,
            'versions': [{'groupVersion': f'{group}/{version}', 'version': version}],
            'preferredVersion': {
                'groupVersion': f'{group}/{version}', 'version': version,
            },
        } for group, version in groups]},
    }
    for each, kinds in resources.items():
        answers[f'/apis/{each}' if '/' in each else f'/api/{each}'] = {
            'kind': 'APIResourceList', 'apiVersion': 'v1', 'groupVersion': each,
            'resources': [{
                'name': name.removeprefix('+'), 'kind': kind, 'singularName': '',
                'namespaced': name.startswith('+'),
                'verbs': ['create', 'delete', 'get', 'list', 'patch', 'update'],
            } for name, kind in kinds.items()],
        }
    return answers


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers discovery, and stores and returns objects."""

    answers: Mapping[str, Json]
    objects: dict[str, Json]

    def do_GET(self) -> None:
        """Return all that discovery asks for, or an object, or a list of none."""
        path = self.path.partition('?')[0]
        found = self.answers.get(path) or self.objects.get(path)
        self.reply(found)

    def do_POST(self) -> None:
        """Store a new object."""
        made = self.body()
        path = self.path.partition('?')[0]
        self.objects[f'{path}/{made["metadata"]["name"]}'] = made
        self.reply(made)

    def do_PATCH(self) -> None:
        """Merge a patch into an object; lists are replaced."""
        path = self.path.partition('?')[0]
        self.objects[path] = merged(self.objects[path], self.body())
        self.reply(self.objects[path])

    def do_DELETE(self) -> None:
        """Remove an object."""
        self.body()
        self.reply(self.objects.pop(self.path.partition('?')[0], None))

    def body(self) -> Any:
        """Read the body of a request."""
        return json.loads(self.rfile.read(int(self.headers['Content-Length'])) or b'{}')

    def reply(self, answer: Json | None) -> None:
        """Send an object, or 404."""
        missing = {'kind': 'Status', 'apiVersion': 'v1', 'reason': 'NotFound',
                   'status': 'Failure', 'code': 404, 'message': 'not found'}
        data = json.dumps(missing if answer is None else answer).encode()
        self.send_response(404 if answer is None else 200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def merged(old: Any, patch: Any) -> Any:
    """Return a value after a JSON Merge Patch (RFC 7396)."""
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    found = {**old, **{key: merged(old.get(key), each) for key, each in patch.items()}}
    return {key: each for key, each in found.items() if each is not None}


@contextlib.contextmanager
def running(place: Any, resources: Resources) -> Iterator[Server]:
    """Run a server, with a kubeconfig in a directory that leads to it."""
    objects: dict[str, Json] = {}
    handler = type('Bound', (Handler,), {
        'answers': discovery(resources), 'objects': objects,
    })
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        config = place / 'kubeconfig'
        config.write_text(json.dumps({
            'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'c',
            'clusters': [{'name': 'c', 'cluster': {
                'server': f'http://127.0.0.1:{server.server_address[1]}',
            }}],
            'users': [{'name': 'u', 'user': {}}],
            'contexts': [{'name': 'c', 'context': {'cluster': 'c', 'user': 'u'}}],
        }))
        try:
            yield Server(str(config), objects)
        finally:
            server.shutdown()
            thread.join()
