"""Datagrams to the service manager: the protocol of sd_notify(3), without a library.

Imported only if NOTIFY_SOCKET is set.
"""
from __future__ import annotations

import socket
from contextlib import suppress

KIND = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK


class NotifySocket:
    """The socket that NOTIFY_SOCKET names.

    name: an absolute path, or '@' and the name of an abstract socket (unix(7)). Any
        other kind, such as the vsock of a virtual machine, gets nothing.
    """

    def __init__(self, name: str) -> None:
        self.address = f'\0{name[1:]}' if name.startswith('@') else name

    def send(self, *assignments: str) -> None:
        """Send assignments in one datagram; lose it if it cannot be sent at once."""
        if not self.address.startswith(('/', '\0')):
            return
        # The manager may be restarting, or its queue may be full.
        with suppress(OSError), socket.socket(socket.AF_UNIX, KIND) as made:
            made.sendto('\n'.join(assignments).encode(), self.address)
