"""S19: what a database, a backup or a world-readable file gives away admits nobody and signs nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from clients.database import open_database, writing
from services.orders.journal import prepare_orders_database
from services.runtime.access import Role
from services.runtime.access.keys import (
    KEY_PATTERN,
    Pepper,
    PepperSource,
    create_key,
    list_keys,
    pepper_source,
    prepare_keys,
)
from services.runtime.access.keys.store import matches
from services.runtime.errors import StartRefused

NOW_NS = 1_700_000_000_000_000_000
SECRET = "s" * 43
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
OLD_ROW = (
    "INSERT INTO api_keys (key_id, name, owner, role, secret_hash, signed_only, created_ns) "
    f"VALUES ('0123456789abcdef', 'old', 'desk', 'trade', '{DIGEST}', false, 1)"
)


@pytest.fixture
def source(tmp_path: Path) -> PepperSource:
    return PepperSource(tmp_path / "orders.keys")


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def old_key(engine: AsyncEngine) -> None:
    """Leave a row as it was made before there was a secret."""
    async with writing(engine) as connection:
        await connection.execute(text(OLD_ROW))


async def raw_rows(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str((await connection.execute(text("SELECT * FROM api_keys"))).all())


async def test_rows_hold_nothing_that_a_caller_sends_or_signs_with(database: AsyncEngine, source: PepperSource) -> None:
    pepper = await prepare_keys(database, source, now_ns=NOW_NS)
    parts = KEY_PATTERN.fullmatch(await create_key(database, pepper, name="bot", roles={Role.TRADE}))
    assert parts is not None
    secret = parts.group(2)
    (key,) = await list_keys(database, pepper)

    rows = await raw_rows(database)

    assert matches(key, secret)
    assert key.signing_digest == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in rows
    assert key.signing_digest not in rows
    assert secret not in repr(key)
    assert key.signing_digest not in repr(key)
    assert pepper.value.hex() not in repr(key) + repr(pepper) + repr(source)


async def test_rows_without_their_secret_are_of_no_use(database: AsyncEngine, source: PepperSource) -> None:
    pepper = await prepare_keys(database, source, now_ns=NOW_NS)
    parts = KEY_PATTERN.fullmatch(await create_key(database, pepper, name="bot", roles={Role.TRADE}))
    assert parts is not None

    for held in (None, Pepper(b"x" * 32)):
        (key,) = await list_keys(database, held)
        assert not key.is_readable
        assert not matches(key, parts.group(2))
        assert key.signing_digest == ""


async def test_a_sealed_text_that_somebody_wrote_signs_nothing(database: AsyncEngine, source: PepperSource) -> None:
    pepper = await prepare_keys(database, source, now_ns=NOW_NS)
    await create_key(database, pepper, name="bot", roles={Role.TRADE})
    async with writing(database) as connection:
        await connection.execute(text(f"UPDATE api_keys SET signing = '{'ab' * 32}'"))

    (key,) = await list_keys(database, pepper)

    assert key.signing_digest == ""


async def test_keys_from_before_go_on_and_are_sealed(database: AsyncEngine, source: PepperSource) -> None:
    await old_key(database)
    (before,) = await list_keys(database)
    assert matches(before, SECRET)

    pepper = await prepare_keys(database, source, now_ns=NOW_NS)
    (after,) = await list_keys(database, pepper)

    assert matches(after, SECRET)
    assert not matches(after, "t" * 43)
    assert after.signing_digest == DIGEST
    assert DIGEST not in await raw_rows(database)


async def test_what_was_sealed_is_in_no_file_of_the_database_any_more(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/orders.db", application="test")
    await prepare_orders_database(engine)
    await old_key(engine)
    files = [tmp_path / f"orders.db{suffix}" for suffix in ("", "-wal", "-shm")]
    assert any(DIGEST.encode() in file.read_bytes() for file in files if file.exists())

    await prepare_keys(engine, PepperSource(tmp_path / "orders.keys"), now_ns=NOW_NS)

    assert not any(DIGEST.encode() in file.read_bytes() for file in files if file.exists())
    await engine.dispose()


@pytest.mark.usefixtures("open_umask")
async def test_the_secret_is_its_owners_whatever_the_umask(database: AsyncEngine, source: PepperSource) -> None:
    await prepare_keys(database, source, now_ns=NOW_NS)

    assert stat.S_IMODE(source.file.stat().st_mode) == 0o600
    source.file.chmod(0o640)
    with pytest.raises(StartRefused, match="chmod 600"):
        await prepare_keys(database, source, now_ns=NOW_NS)


async def test_a_lost_secret_is_never_replaced_without_a_word(database: AsyncEngine, source: PepperSource) -> None:
    pepper = await prepare_keys(database, source, now_ns=NOW_NS)
    await create_key(database, pepper, name="bot", roles={Role.TRADE})
    kept = source.file.rename(source.file.with_name("backup"))

    with pytest.raises(StartRefused) as refused:
        await prepare_keys(database, source, now_ns=NOW_NS)

    assert str(source.file) in refused.value.message
    assert "restore" in refused.value.message
    assert pepper.name in refused.value.message
    assert not source.file.exists()
    kept.rename(source.file)
    assert await prepare_keys(database, source, now_ns=NOW_NS) == pepper


async def test_another_secret_is_refused(database: AsyncEngine, source: PepperSource, tmp_path: Path) -> None:
    pepper = await prepare_keys(database, source, now_ns=NOW_NS)
    await create_key(database, pepper, name="bot", roles={Role.TRADE})
    other = PepperSource(tmp_path / "other.keys")
    other.make()

    with pytest.raises(StartRefused, match="holds another one"):
        await prepare_keys(database, other, now_ns=NOW_NS)


async def test_keys_that_ended_do_not_need_their_secret(database: AsyncEngine, source: PepperSource) -> None:
    pepper = await prepare_keys(database, source, now_ns=NOW_NS)
    await create_key(database, pepper, name="bot", roles={Role.TRADE}, now_ns=1, expires_ns=NOW_NS)
    source.file.unlink()

    assert await prepare_keys(database, source, now_ns=NOW_NS) != pepper


@pytest.mark.parametrize("content", ["", "x" * 64, "ab" * 31])
async def test_a_file_with_something_else_is_no_secret(
    content: str, database: AsyncEngine, source: PepperSource
) -> None:
    os.close(os.open(source.file, os.O_CREAT | os.O_WRONLY, 0o600))
    source.file.write_text(content)

    with pytest.raises(StartRefused, match="64 hexadecimal digits"):
        await prepare_keys(database, source, now_ns=NOW_NS)


def test_two_who_make_it_at_once_have_the_same(source: PepperSource) -> None:
    assert source.make() == source.make()
    assert [path.name for path in source.file.parent.iterdir()] == ["orders.keys"]


def test_where_the_secret_is(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def where(url: str, file: Path | None = None, text: str = "") -> str:
        return str(pepper_source(url, file=file, text=text, directory=out))

    assert where(f"sqlite:///{tmp_path}/a/orders.db") == f"{tmp_path}/a/orders.keys"
    assert where("postgresql://u:p@h/d") == f"{out}/orders.keys"
    assert where("postgresql://u:p@h/d", tmp_path / "k") == f"{tmp_path}/k"
    assert where("postgresql://u:p@h/d", text="x" * 32) == "MIDSTREAM_KEYS_SECRET"
    assert PepperSource(out, "x" * 32).load() == PepperSource(tmp_path, "x" * 32).load()
