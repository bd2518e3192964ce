"""Files of TLS that change while they are in use, for better and for worse."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from services.runtime.errors import StartRefused
from services.runtime.tls import TlsFiles
from tests.support.tls import Authority, Pair

NOW = datetime.now(UTC)


class Scene:
    """A folder with files, what watches them, and its clocks."""

    def __init__(self, folder: Path, *, client_ca: bool = False) -> None:
        self.folder = folder
        self.authority = Authority()
        self.pair = self.authority.pair("localhost")
        self.cert, self.key = self.pair.write(folder, "server")
        self.ca = self.authority.write(folder) if client_ca else None
        self.figures: dict[str, float] = {}
        self.monotonic_ns = 0
        self.wall_ns = int(NOW.timestamp() * 1e9)
        self.files = TlsFiles(
            self.cert,
            self.key,
            self.ca,
            gauges=self,
            wall_ns=lambda: self.wall_ns,
            monotonic_ns=lambda: self.monotonic_ns,
        )

    def set(self, name: str, value: float) -> None:
        self.figures[name] = value

    def served(self) -> bytes:
        """Return the chain that the next handshake presents."""
        self.monotonic_ns += 1_000_000_000
        return self.files.current().contents.chain

    def write(self, pair: Pair) -> None:
        self.cert.write_bytes(pair.chain)
        self.key.write_bytes(pair.key)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.files.load()
    return made


def test_the_next_handshake_has_what_is_in_the_files_now(scene: Scene) -> None:
    other = scene.authority.pair("localhost")

    scene.write(other)

    assert scene.served() == other.chain
    assert scene.files.trouble == ""


def test_a_change_of_the_same_size_within_one_tick_of_the_clock_is_seen(scene: Scene) -> None:
    # The clock of a file system ticks a few hundred times a second; both writes may have the same time.
    stamp = (scene.wall_ns, scene.wall_ns)
    for _round in range(3):
        other = scene.authority.pair("localhost")
        scene.write(other)
        for path in (scene.cert, scene.key):
            os.utime(path, ns=stamp)

        assert scene.served() == other.chain


def test_files_that_have_settled_are_not_read_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.wall_ns += 3600 * 1_000_000_000
    scene.served()
    reads: list[object] = []
    monkeypatch.setattr("services.runtime.tls.watched.read_contents", reads.append)

    scene.served()

    assert reads == []


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


DAMAGE: dict[str, Callable[[Scene], object]] = {
    "the certificate is half written": lambda scene: half(scene.cert),
    "the key is half written": lambda scene: half(scene.key),
    "the certificate is empty": lambda scene: scene.cert.write_bytes(b""),
    "the key is empty": lambda scene: scene.key.write_bytes(b""),
    "the certificate is gone": lambda scene: scene.cert.unlink(),
    "the key is gone": lambda scene: scene.key.unlink(),
    "the key is not that of the certificate": lambda scene: scene.key.write_bytes(scene.authority.pair("x").key),
    "the certificate is not that of the key": lambda scene: scene.cert.write_bytes(scene.authority.pair("x").chain),
    "the certificate is noise": lambda scene: scene.cert.write_bytes(os.urandom(3000)),
    "its base64 is damaged": lambda scene: scene.cert.write_bytes(scene.pair.chain.replace(b"MII", b"M!I", 1)),
    "the certificate has expired": lambda scene: scene.write(
        scene.authority.pair("localhost", after=NOW - timedelta(hours=1))
    ),
    "the certificate is of the future": lambda scene: scene.write(
        scene.authority.pair("localhost", before=NOW + timedelta(hours=1))
    ),
    "the key can be read by others": lambda scene: scene.key.chmod(0o644),
    "the key can be written by its group": lambda scene: scene.key.chmod(0o660),
    "the certificate is a folder": lambda scene: (scene.cert.unlink(), scene.cert.mkdir()),
    "the certificate is a pipe": lambda scene: as_pipe(scene.cert),
    "the key is a pipe": lambda scene: as_pipe(scene.key),
    "the certificate is huge": lambda scene: scene.cert.write_bytes(scene.pair.chain + b"\n" * (5 << 20)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_cannot_be_used_leaves_the_last_good_set_and_is_said_once(
    scene: Scene, damage: Callable[[Scene], object], caplog: pytest.LogCaptureFixture
) -> None:
    good = scene.files.current()
    damage(scene)
    with caplog.at_level(logging.WARNING):
        seen = {scene.files.current() for _ in range(3) if scene.served()}
        scene.wall_ns += 10 * 1_000_000_000
        seen |= {scene.files.current() for _ in range(3) if scene.served()}

    assert seen == {good}
    assert scene.figures["midstream_tls_files_unusable"] == 1
    assert str(scene.folder) in scene.files.trouble
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_at_the_first_start_the_same_is_refused_in_one_line(tmp_path: Path, damage: Callable[[Scene], object]) -> None:
    scene = Scene(tmp_path)
    damage(scene)

    with pytest.raises(StartRefused) as caught:
        scene.files.load()

    assert str(tmp_path) in caught.value.message
    assert "MIDSTREAM_TLS_CERT" in caught.value.message
    assert "\n" not in caught.value.message
    assert "PRIVATE" not in caught.value.message or "holds no whole private key" in caught.value.message


def test_after_trouble_a_good_set_is_taken_and_the_next_trouble_is_said_again(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for _round in range(2):
        half(scene.cert)
        scene.served(), scene.served()
        other = scene.authority.pair("localhost")
        scene.write(other)
        assert scene.served() == other.chain
        assert scene.figures["midstream_tls_files_unusable"] == 0

    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2


def test_two_files_replaced_one_after_the_other_are_no_trouble(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    other = scene.authority.pair("localhost")
    scene.cert.write_bytes(other.chain)
    scene.files.current()
    scene.key.write_bytes(other.key)

    assert scene.served() == other.chain
    assert caplog.records == []


def test_a_certificate_of_the_future_is_taken_when_its_time_comes(scene: Scene) -> None:
    other = scene.authority.pair("localhost", before=NOW + timedelta(hours=1), after=NOW + timedelta(days=90))
    scene.write(other)
    scene.wall_ns += 30 * 60 * 1_000_000_000
    assert scene.served() == scene.pair.chain

    scene.wall_ns += 40 * 60 * 1_000_000_000

    assert scene.served() == other.chain


def test_a_folder_that_is_switched_as_kubernetes_does_is_seen(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    other = scene.authority.pair("localhost")
    for folder, pair in ((one, scene.pair), (two, other)):
        folder.mkdir()
        pair.write(folder, "tls")
    current = tmp_path / "current"
    current.symlink_to(one)
    files = TlsFiles(current / "tls.pem", current / "tls-key.pem")
    files.load()

    draft = tmp_path / "draft"
    draft.symlink_to(two)
    draft.rename(current)

    assert files.current().contents.chain == other.chain


def test_client_authorities_change_with_the_files(tmp_path: Path) -> None:
    scene = Scene(tmp_path, client_ca=True)
    scene.files.load()
    assert scene.ca is not None
    second = Authority()

    scene.ca.write_bytes(b"# ours, then theirs\n" + scene.authority.pem + "# späte\n".encode() + second.pem)

    assert scene.files.current().contents.client_ca == scene.authority.pem + second.pem
    assert len(scene.files.current().context.get_ca_certs()) == 2


@pytest.mark.parametrize("text", [b"", b"no certificate\n", b"-----BEGIN CERTIFICATE-----\nMIIB"], ids=repr)
def test_authorities_that_are_none_leave_the_last_good_ones(tmp_path: Path, text: bytes) -> None:
    scene = Scene(tmp_path, client_ca=True)
    good = scene.files.load()
    assert scene.ca is not None

    scene.ca.write_bytes(text or scene.authority.pem[:-40])

    assert scene.files.current() is good
    assert str(scene.ca) in scene.files.trouble


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o440])
def test_a_key_that_only_its_owner_and_a_group_can_read_is_taken(tmp_path: Path, mode: int) -> None:
    scene = Scene(tmp_path)
    scene.key.chmod(mode)

    assert scene.files.load().contents.key == scene.pair.key


def test_an_encrypted_key_is_refused_without_asking_for_its_passphrase(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    key = serialization.load_pem_private_key(scene.pair.key, None)
    scene.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )

    with pytest.raises(StartRefused, match="is encrypted: decrypt it"):
        scene.files.load()


def test_the_end_of_the_certificate_is_a_figure_and_is_said_before_it_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path)
    end = NOW.replace(microsecond=0) + timedelta(days=30)
    scene.write(scene.authority.pair("localhost", after=end))
    scene.files.load()
    assert scene.figures["midstream_tls_certificate_not_after_seconds"] == end.timestamp()
    assert caplog.records == []

    scene.wall_ns += 24 * 24 * 3600 * 1_000_000_000
    scene.served(), scene.served()

    assert ["ends soon" in record.message for record in caplog.records] == [True]
