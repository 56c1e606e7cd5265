"""The fingerprint of a version: one digest over names and file digests."""
from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from xxhash import xxh3_128


def fingerprint(files: Sequence[Mapping[str, bytes] | None]) -> str:
    """Return 32 hex digits for the files of each path: names and digests.

    files: name -> digest, b'' for a member that cannot be read; None for a
        path of which nothing is known.
    """
    digest = xxh3_128()
    for members in files:
        # Every piece is led by its length, so that two versions that differ are
        # never the same bytes.
        digest.update(b'-;' if members is None else b'%d;' % len(members))
        for name, value in sorted(
                (os.fsencode(name), value) for name, value in (members or {}).items()
        ):
            digest.update(b'%d;%b%d;%b' % (len(name), name, len(value), value))
    return digest.hexdigest()
