"""Where health is in plain text beside a server's gRPC port."""

from __future__ import annotations

import pytest

from services.runtime.addresses import admin_port


@pytest.mark.parametrize(
    ("port", "named", "tls", "found"),
    [
        (50052, None, False, None),
        (50052, None, True, 51052),
        (0, None, True, 0),
        (64_535, None, True, 65_535),
        (64_536, None, True, 0),
        (50052, 9000, True, 9000),
        (50052, 9000, False, 9000),
        (50052, 0, False, 0),
    ],
)
def test_it_is_as_named_or_a_thousand_behind_with_tls(
    port: int, named: int | None, tls: bool, found: int | None
) -> None:
    assert admin_port(port, named, tls=tls) == found
