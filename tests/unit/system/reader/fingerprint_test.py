"""The fingerprint of names and digests."""
from __future__ import annotations

import contextlib
import os

from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from pollreload.core.reading import EMPTY
from pollreload.system import stat_cache
from pollreload.system.fingerprint import fingerprint
from pollreload.system.reader import TERMS, poll

NAMES = st.binary(max_size=4).map(os.fsdecode)
MEMBERS = st.dictionaries(NAMES, st.sampled_from((b'', EMPTY, xxh3_128_digest(b'x'))))
PATHS = st.lists(st.none() | MEMBERS, max_size=3)


@given(PATHS, PATHS)
def test_fingerprints_are_equal_only_for_equal_files(one, other):
    """Of names and digests, path by path; unknown is not the same as empty."""
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


@given(MEMBERS)
def test_the_fingerprint_does_not_depend_on_the_order_of_names(files):
    """A listing comes in any order."""
    assert fingerprint([files]) == fingerprint([dict(reversed(files.items()))])


def test_the_fingerprint_is_the_same_for_ever():
    """A ledger is read by later releases: this is its format."""
    files = [{'a': EMPTY, 'b': b''}, None, {}]

    assert fingerprint(files) == 'f420adc571626218eea518a0494010a4'


def test_a_name_that_is_listed_twice_is_read_once(tmp_path, monkeypatch):
    """As if it is removed and made again in the meantime (readdir(3p)); seen on XFS."""
    for name in ('a', 'b'):
        (tmp_path / name).write_text(name)

    @contextlib.contextmanager
    def twice(fd, real=os.scandir):
        with real(fd) as entries:
            each = list(entries)
            yield iter([*each, each[0]])

    monkeypatch.setattr(os, 'scandir', twice)
    caches = [stat_cache.Cache()]
    seen = [
        poll((str(tmp_path),), (), terms=TERMS._replace(began=2e9), caches=caches)
        for _ in range(3)
    ]

    assert seen[0] is not None
    assert list(seen[0].readings[0].files) == ['a', 'b']
    assert seen == [seen[0]] * 3
