"""Data of a private Redis: only an engine that reads it opens it, and damage comes with a way on that works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from services.runtime.connection import connect
from services.runtime.embedded import EmbeddedRedis
from services.runtime.errors import StartRefused
from services.runtime.redis_binary import Engine, find_engine
from services.runtime.redis_data import ENGINE_FILE, AppendOnly, admit, record


def _engine(name: str, *version: int) -> Engine:
    major, minor, patch = version
    return Engine(Path(f"/opt/{name}-server"), name, (major, minor, patch))


VALKEY_8, VALKEY_9 = _engine("valkey", 8, 1, 8), _engine("valkey", 9, 1, 2)
REDIS_7_0, REDIS_7_2, REDIS_8 = _engine("redis", 7, 0, 15), _engine("redis", 7, 2, 4), _engine("redis", 8, 2, 3)

# Every pair was tried with the real engines: what is refused here ends there with "Can't handle RDB format version".
PAIRS = [
    (VALKEY_9, VALKEY_9, True),
    (VALKEY_9, _engine("valkey", 9, 1, 0), True),
    (VALKEY_8, VALKEY_9, True),
    (VALKEY_8, REDIS_8, True),
    (VALKEY_8, REDIS_7_2, True),
    (VALKEY_8, REDIS_7_0, False),
    (VALKEY_9, _engine("valkey", 9, 0, 5), False),
    (VALKEY_9, VALKEY_8, False),
    (VALKEY_9, REDIS_7_0, False),
    (VALKEY_9, REDIS_8, False),
    (REDIS_7_0, VALKEY_8, True),
    (REDIS_7_0, VALKEY_9, True),
    (REDIS_7_0, REDIS_8, True),
    (REDIS_7_2, REDIS_7_0, False),
    (REDIS_8, VALKEY_9, False),
    (REDIS_8, VALKEY_8, False),
    (REDIS_8, REDIS_7_0, False),
]


def _snapshot(engine: Engine) -> bytes:
    """How the first snapshot of an engine begins."""
    magic = {"redis": b"REDIS0012", "valkey": b"VALKEY080" if engine.version[0] >= 9 else b"REDIS0011"}[engine.name]
    name, version = f"{engine.name}-ver".encode(), ".".join(map(str, engine.version)).encode()
    return b"%b\xfa%c%b%c%b\xfa\x0aredis-bits\xc0\x40" % (magic, len(name), name, len(version), version)


def _lay_out(directory: Path, engine: Engine) -> None:
    """Leave what an engine leaves, without a record."""
    folder = directory / "appendonlydir"
    folder.mkdir()
    (folder / "appendonly.aof.1.base.rdb").write_bytes(_snapshot(engine))
    (folder / "appendonly.aof.1.incr.aof").write_bytes(b"")
    (folder / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n", encoding="utf-8"
    )


@pytest.mark.parametrize("recorded", [True, False], ids=["by its record", "by its layout"])
@pytest.mark.parametrize(
    ("wrote", "opens", "allowed"), PAIRS, ids=lambda value: value.text if isinstance(value, Engine) else ""
)
def test_data_is_only_opened_by_an_engine_that_reads_it(
    tmp_path: Path, wrote: Engine, opens: Engine, allowed: bool, recorded: bool
) -> None:
    if recorded:
        record(wrote, tmp_path)
    else:
        _lay_out(tmp_path, wrote)

    if allowed:
        admit(opens, tmp_path)
        record(opens, tmp_path)
        assert json.loads((tmp_path / ENGINE_FILE).read_text()) == {"name": opens.name, "version": [*opens.version]}
    else:
        with pytest.raises(
            StartRefused, match=rf"{wrote.text}, which {opens.text} .* does not read: use {wrote.text} or a newer"
        ):
            admit(opens, tmp_path)


def test_layout_counts_beside_a_record_that_is_older(tmp_path: Path) -> None:
    record(REDIS_7_0, tmp_path)
    _lay_out(tmp_path, REDIS_8)

    with pytest.raises(StartRefused, match=r"was written by redis 8\.2\.3"):
        admit(VALKEY_9, tmp_path)


def test_what_the_engine_of_this_run_wrote_says_so(tmp_path: Path) -> None:
    EmbeddedRedis.start(tmp_path, append_only=True).stop()
    (tmp_path / ENGINE_FILE).unlink()

    writer = AppendOnly.read(tmp_path).writer

    assert writer is not None
    assert writer.text == find_engine().text


def test_embedded_redis_refuses_data_of_a_newer_engine_and_lets_go_of_the_directory(tmp_path: Path) -> None:
    engine = find_engine()
    record(Engine(engine.path, engine.name, (99, 0, 0)), tmp_path)

    with pytest.raises(StartRefused, match=rf"was written by {engine.name} 99"):
        EmbeddedRedis.start(tmp_path, append_only=True)

    (tmp_path / ENGINE_FILE).unlink()
    EmbeddedRedis.start(tmp_path, append_only=True).stop()
    assert json.loads((tmp_path / ENGINE_FILE).read_text())["name"] == engine.name


def test_engine_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ENGINE_FILE).write_text("{", encoding="utf-8")

    with pytest.raises(StartRefused, match=r"engine\.json does not say which Redis wrote"):
        admit(find_engine(), tmp_path)


# What a Redis before 7 leaves


SET_KEY = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$3\r\nold\r\n"


def _key(directory: Path) -> tuple[bytes | None, tuple[str, ...]]:
    """Open a directory; return what is under `key`, and what there was to say."""
    server = EmbeddedRedis.start(directory, append_only=True)
    client = connect(server.url, client_name="test")
    try:
        found: bytes | None = client.get("key")
    finally:
        client.close()
        server.stop()
    return found, server.notes


def test_queue_of_a_redis_before_7_is_taken_over_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(SET_KEY)

    found, notes = _key(tmp_path)

    assert found == b"old"
    assert [note for note in notes if "of a Redis before 7 was taken over" in note]
    assert _key(tmp_path) == (b"old", ())


def test_takeover_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(SET_KEY)
    (tmp_path / "appendonlydir").mkdir()
    (tmp_path / "appendonlydir" / "appendonly.aof.manifest").write_text("file appendonly.aof seq 1 type b\n")

    assert _key(tmp_path)[0] == b"old"


@pytest.mark.parametrize("taken_over", [True, False], ids=["after a takeover", "beside a fresh folder"])
def test_second_history_of_a_redis_before_7_is_refused(tmp_path: Path, taken_over: bool) -> None:
    if taken_over:
        (tmp_path / "appendonly.aof").write_bytes(SET_KEY)
    _key(tmp_path)
    (tmp_path / "appendonly.aof").write_bytes(SET_KEY.replace(b"old", b"new"))

    with pytest.raises(StartRefused, match=r"holds two histories: appendonlydir.* and appendonly\.aof"):
        EmbeddedRedis.start(tmp_path, append_only=True)

    (tmp_path / "appendonly.aof").unlink()
    assert _key(tmp_path)[0] == (b"old" if taken_over else None)


# Damage


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A directory with two keys, and the path of the file that has them."""
    server = EmbeddedRedis.start(tmp_path, append_only=True)
    client = connect(server.url, client_name="test")
    client.set("key", "kept")
    client.set("other", "x" * 50)
    client.close()
    server.stop()
    tail = AppendOnly.read(tmp_path).tail
    assert tail is not None
    return tail


def test_folder_without_its_manifest_is_not_taken_for_empty(tmp_path: Path, written: Path) -> None:
    (written.parent / "appendonly.aof.manifest").unlink()

    with pytest.raises(StartRefused, match=r"appendonlydir has lost its appendonly\.aof\.manifest"):
        EmbeddedRedis.start(tmp_path, append_only=True)


def test_torn_end_is_cut_off_with_a_word(tmp_path: Path, written: Path) -> None:
    whole = written.read_bytes()
    written.write_bytes(whole[:-5])

    found, notes = _key(tmp_path)

    assert found == b"kept"
    assert [note for note in notes if re.search(r"ended in the midst of an entry.* last \d+ bytes were cut off", note)]
    assert _key(tmp_path) == (b"kept", ())


@pytest.mark.skipif(shutil.which("bash") is None, reason="the advice is for bash")
def test_advice_for_a_damaged_file_works_with_what_is_here(tmp_path: Path, written: Path) -> None:
    content = written.read_bytes()
    damaged = content.index(b"*3\r\n$3\r\nSET\r\n$5\r\nother")
    written.write_bytes(content[:damaged] + b"\xff\xff" + content[damaged + 2 :])

    with pytest.raises(StartRefused, match="ended at once") as caught:
        EmbeddedRedis.start(tmp_path, append_only=True)

    advice = str(caught.value)
    assert "\n" not in advice
    assert "<filename" not in advice
    command = re.search(r"`(\(exec [^`]*\))`", advice)
    assert command is not None, advice
    subprocess.run(["bash", "-c", command[1]], input=b"y\n", capture_output=True, check=True, timeout=60)
    assert _key(tmp_path)[0] == b"kept"


@pytest.mark.skipif(shutil.which("bash") is None, reason="the advice is for bash")
def test_advice_for_a_damaged_snapshot_begins_anew(tmp_path: Path, written: Path) -> None:
    base = AppendOnly.read(tmp_path).base
    assert base is not None
    base.write_bytes(base.read_bytes()[:-12])

    with pytest.raises(StartRefused) as caught:
        EmbeddedRedis.start(tmp_path, append_only=True)

    command = re.search(r"`(mv [^`]*)`", str(caught.value))
    assert command is not None, str(caught.value)
    subprocess.run(["bash", "-c", command[1]], check=True, timeout=60)
    assert _key(tmp_path)[0] is None
