"""How many partitions a session has, as it is stored."""

from __future__ import annotations

import pytest

from services.runtime.errors import FailedPrecondition
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from services.runtime.session.partitions_stored import decode, encode

KEYS = SessionKeys("desk")


@pytest.mark.parametrize("partitioning", [Partitioning(), Partitioning(4, {"BTC/USDT": 3, "ETH": 0})], ids=["1", "4"])
def test_what_was_written_is_read(partitioning: Partitioning) -> None:
    assert decode(KEYS, encode(partitioning)) == partitioning


def test_a_session_of_which_nothing_is_written_has_one() -> None:
    assert decode(KEYS, None) == Partitioning()


@pytest.mark.parametrize("stored", [b"", b"[]", b"{}", b'{"count": 0}', b'{"count": 2, "assigned": {"a": 2}}'])
def test_what_says_nothing_is_refused_by_the_name_of_its_key(stored: bytes) -> None:
    with pytest.raises(FailedPrecondition, match=r"\{desk\}:partitions says nothing of how many"):
        decode(KEYS, stored)
