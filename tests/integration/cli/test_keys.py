"""`midstream keys`: made once, listed without a secret, revoked for good."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.cli import midstream_here


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of this test's own."""
    url = f"sqlite:///{tmp_path}/orders.db"
    monkeypatch.setenv("MIDSTREAM_ORDERS_DATABASE_URL", url)
    return url


def test_a_key_is_printed_once_and_listed_without_its_secret() -> None:
    made = midstream_here("keys", "create", "--create", "--name", "desk", "--role", "trade", "--owner", "one", "--json")
    listed = midstream_here("keys", "list")
    as_json = midstream_here("keys", "list", "--json")

    assert (made.code, listed.code, as_json.code) == (0, 0, 0)
    assert all(line.startswith("midstream: ") for line in made.stderr.splitlines())
    assert len(made.stderr.splitlines()) == 1
    key = json.loads(made.stdout)["key"]
    assert "desk (orders of one)" in listed.stdout
    assert "usable" in listed.stdout
    assert "trade" in listed.stdout
    assert key not in listed.stdout + as_json.stdout
    assert '"usable": true' in as_json.stdout.lower()


def test_a_revoked_key_is_shown_as_one() -> None:
    midstream_here("keys", "create", "--create", "--name", "desk", "--role", "read")
    (key_id, *_) = midstream_here("keys", "list").stdout.split()

    revoked = midstream_here("keys", "revoke", key_id)

    assert revoked.code == 0
    assert key_id in revoked.stdout
    assert "revoked" in midstream_here("keys", "list").stdout


def test_a_key_that_is_not_there_cannot_be_revoked() -> None:
    midstream_here("keys", "create", "--create", "--name", "desk", "--role", "read")

    refused = midstream_here("keys", "revoke", "nobody")

    assert refused.code == 2
    assert "nobody" in refused.stderr


def test_a_database_that_cannot_be_used_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_ORDERS_DATABASE_URL", "postgresql://desk:s3cret@127.0.0.1:1/orders")

    refused = midstream_here("keys", "list")

    assert refused.code == 2
    assert "127.0.0.1:1" in refused.stderr
    assert "s3cret" not in refused.stderr


def test_a_key_has_several_roles_and_an_end() -> None:
    made = midstream_here(
        "keys", "create", "--create", "--name", "bot", "--role", "trade,control", "--expires", "90d", "--signed-only", "--json"
    )  # fmt: skip
    (listed,) = json.loads(midstream_here("keys", "list", "--json").stdout)["keys"]

    assert made.code == 0
    assert (listed["role"], listed["usable"], listed["signed_only"]) == ("control,trade", True, True)
    assert listed["expires_ns"] - listed["created_ns"] == pytest.approx(90 * 86_400 * 1e9, rel=1e-4)
    assert ", until 20" in midstream_here("keys", "list").stdout


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--role", "root", "some of read, control, trade, admin"),
        ("--role", "trade,", "some of read, control, trade, admin"),
        ("--expires", "soon", "90d, 12h or a date"),
        ("--expires", "2001-01-01", "in the future"),
        ("--expires", "0d", "in the future"),
    ],
)
def test_what_no_key_can_be_is_refused(option: str, value: str, complaint: str) -> None:
    # The last of an option that is given twice counts.
    refused = midstream_here("keys", "create", "--create", "--role", "read", option, value)

    assert refused.code == 2
    assert complaint in refused.stderr


def test_keys_whose_secret_is_lost_are_ended_by_name_of_the_trouble(tmp_path: Path) -> None:
    midstream_here("keys", "create", "--create", "--role", "read")
    (tmp_path / "orders.keys").unlink()

    refused = midstream_here("keys", "create", "--role", "read")
    ended = midstream_here("keys", "revoke", "--unreadable")
    again = midstream_here("keys", "create", "--role", "read")

    assert refused.code == 2
    assert str(tmp_path / "orders.keys") in refused.stderr
    assert "keys revoke --unreadable" in refused.stderr
    assert (ended.code, again.code) == (0, 0)
    assert [key["usable"] for key in json.loads(midstream_here("keys", "list", "--json").stdout)["keys"]] == [
        False,
        True,
    ]


def test_revoking_wants_to_know_what() -> None:
    midstream_here("keys", "create", "--create", "--role", "read")

    assert midstream_here("keys", "revoke").code == 2
    assert midstream_here("keys", "revoke", "0" * 16, "--unreadable").code == 2


def running_server(out: Path, *, pid: int, **said: str) -> None:
    """Leave what a server that runs says of itself."""
    ready = out / ".midstream" / "ready"
    ready.mkdir(parents=True, exist_ok=True)
    (ready / "orders.json").write_text(json.dumps({"server": "orders", "pid": pid, **said}))


def test_the_database_of_a_running_server_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    midstream_here("keys", "create", "--create", "--role", "read")
    monkeypatch.delenv("MIDSTREAM_ORDERS_DATABASE_URL")
    monkeypatch.setenv("MIDSTREAM_OUT", str(tmp_path / "out"))
    theirs = str(tmp_path / "orders.db")
    running_server(tmp_path / "out", pid=os.getpid(), keys_database=theirs, keys_secret=str(tmp_path / "orders.keys"))
    monkeypatch.chdir(tmp_path)

    made = midstream_here("keys", "create", "--role", "trade", "--json")

    assert made.code == 0
    assert json.loads(made.stdout)["database"] == theirs
    assert f"(process {os.getpid()}) has its keys in {theirs}" in made.stderr
    assert not (tmp_path / "var").exists()


def test_settings_win_over_a_running_server_with_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_OUT", str(tmp_path / "out"))
    running_server(tmp_path / "out", pid=os.getpid(), keys_database="/elsewhere/orders.db")

    made = midstream_here("keys", "create", "--create", "--role", "trade", "--json")

    assert json.loads(made.stdout)["database"] == str(tmp_path / "orders.db")
    assert "/elsewhere/orders.db, which is not the database that the settings name" in made.stderr


def test_a_running_server_whose_database_needs_a_password_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIDSTREAM_ORDERS_DATABASE_URL")
    monkeypatch.setenv("MIDSTREAM_OUT", str(tmp_path / "out"))
    monkeypatch.chdir(tmp_path)
    running_server(tmp_path / "out", pid=os.getpid(), keys_database="postgresql+asyncpg://u:***@h/d")

    refused = midstream_here("keys", "create", "--create", "--role", "trade")

    assert refused.code == 2
    assert "set MIDSTREAM_ORDERS_DATABASE_URL to it" in refused.stderr
    assert os.listdir(tmp_path) == ["out"]


def test_a_server_that_is_gone_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_OUT", str(tmp_path / "out"))
    running_server(tmp_path / "out", pid=2**22 + 1, keys_database="/elsewhere/orders.db")

    assert "elsewhere" not in midstream_here("keys", "create", "--create", "--role", "trade").stderr


def test_keys_may_be_in_a_database_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_KEYS_DATABASE_URL", f"sqlite:///{tmp_path}/own.db")

    made = midstream_here("keys", "create", "--create", "--role", "trade", "--json")

    assert json.loads(made.stdout)["database"] == str(tmp_path / "own.db")
    assert (tmp_path / "own.keys").exists()
    assert not (tmp_path / "orders.db").exists()
