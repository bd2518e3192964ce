"""What a Postgres URL says of TLS is checked before anything is connected."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from clients.database import DatabaseUrl, usable_url
from clients.database.tls import PostgresTls, without_tls

BASE = "postgresql://u:p@db.internal/d"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmode=allow", "sslmode=allow is none: it is one of disable, prefer, require, verify-ca, verify-full"),
        ("ssl=true", "sslmode=true is none"),
        ("sslmode=verify-full&sslcert=/c", "sslcert and sslkey go together"),
        ("sslmode=verify-full&sslkey=/k", "sslcert and sslkey go together"),
        ("sslrootcert=/ca", "with sslmode=prefer no certificate is looked at"),
        ("sslmode=disable&sslcert=/c&sslkey=/k", "with sslmode=disable no certificate is looked at"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(query: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        usable_url(f"{BASE}?{query}")


def test_setting_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    url = f"{BASE}?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem"

    with pytest.raises(ValidationError, match=r"sslrootcert: there is no file .*ca\.pem"):
        TypeAdapter(DatabaseUrl).validate_python(url)

    (tmp_path / "ca.pem").touch()
    assert TypeAdapter(DatabaseUrl).validate_python(url) == url


def test_driver_is_given_what_is_not_of_tls() -> None:
    url = usable_url(f"{BASE}?sslmode=verify-full&sslrootcert=system&command_timeout=5")

    assert PostgresTls.of(url).mode == "verify-full"
    assert without_tls(url).query == {"command_timeout": "5"}
