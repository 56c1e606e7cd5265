"""A small web server: it answers every request with what is in its config file.

    server.py FILE

FILE is read at the start and on SIGHUP, and at no other time, as most servers
do it. Once it can be asked it prints its pid and its port.
"""
from __future__ import annotations

import http.server
import os
import signal
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the text; text: what FILE held when it was last read."""

    text = b''

    def do_GET(self) -> None:
        """Answer one request."""
        self.send_response(200)
        self.send_header('Content-Type', 'text/plain; charset=utf-8')
        self.send_header('Content-Length', str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the quickstart shows what was asked."""


def read(*_: object) -> None:
    """Read the config file; also the handler of SIGHUP."""
    with open(sys.argv[1], 'rb') as file:
        Handler.text = file.read()


def main() -> None:
    """Serve until a signal ends it."""
    read()
    signal.signal(signal.SIGHUP, read)
    # Not http.server.HTTPServer, which asks the DNS for its own name.
    with socketserver.TCPServer(('127.0.0.1', 0), Handler) as server:
        sys.stdout.write(f'{os.getpid()} {server.server_address[1]}\n')
        sys.stdout.flush()
        server.serve_forever()


if __name__ == '__main__':
    main()
