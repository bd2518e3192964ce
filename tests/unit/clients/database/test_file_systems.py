"""SQLite stays on disks of this machine: whatever names its file, a network file system is refused with a sentence."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from clients.database import file_systems as module
from clients.database import open_database, placed_url
from clients.database.file_systems import FUSE, NETWORK, file_system_of, network_file_system
from services.cli.keys_command import _with_database
from services.orders.config import OrdersSettings
from services.power.etl.config import EtlSettings
from services.power.listener.config import DealListenerSettings
from services.reporting.config import ReportingSettings
from services.runtime.access.keys.database import open_keys
from services.runtime.errors import StartRefused
from services.runtime.settings import ServerSettings, load

NFS = 0x6969
TMPFS = 0x01021994
EXT4 = 0xEF53


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that the system says is NFS; everything else is a disk."""
    share = tmp_path / "share"
    share.mkdir()

    def statfs(path: Path) -> int:
        return NFS if path.is_relative_to(share) else EXT4

    monkeypatch.setattr(module, "file_system_of", statfs)
    return share


@pytest.mark.parametrize("number", NETWORK, ids=[f"{name}-{number:#x}" for number, name in NETWORK.items()])
def test_every_network_file_system_is_refused_by_name(number: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"\({NETWORK[number]}\).*postgresql://"):
        placed_url(f"sqlite:///{tmp_path}/orders.db", statfs=lambda _: number)


def test_numbers_come_signed_from_some_systems() -> None:
    assert network_file_system(Path("/"), lambda _: 0xFF534D42 - (1 << 32)) == "CIFS"


@pytest.mark.parametrize("number", [EXT4, TMPFS, 0x58465342, 0x9123683E, 0x794C7630, None])
def test_disks_memory_layers_and_what_nobody_knows_are_taken(number: int | None, tmp_path: Path) -> None:
    assert placed_url(f"sqlite:///{tmp_path}/orders.db", statfs=lambda _: number).database


def test_postgres_is_not_asked_where_it_lies() -> None:
    def never(_: Path) -> int:
        raise AssertionError

    assert placed_url("postgresql://u:p@h/d", statfs=never).host == "h"


def test_the_nearest_folder_that_exists_is_asked(network: Path, tmp_path: Path) -> None:
    asked = []

    def statfs(path: Path) -> int:
        asked.append(path)
        return EXT4

    placed_url(f"sqlite:///{tmp_path}/not/there/yet.db", statfs=statfs)

    assert asked == [tmp_path]


def test_a_link_is_followed_to_the_file_itself(network: Path, tmp_path: Path) -> None:
    (network / "real.db").touch()
    (tmp_path / "orders.db").symlink_to(network / "real.db")

    with pytest.raises(ValueError, match="NFS"):
        placed_url(f"sqlite:///{tmp_path}/orders.db")


def test_a_relative_path_is_asked_where_it_leads(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(network)
    with pytest.raises(ValueError, match=r"^var/orders.db is on a network file system \(NFS\)"):
        placed_url("sqlite:///var/orders.db")


def test_opening_makes_no_file_there(network: Path) -> None:
    with pytest.raises(ValueError, match="NFS"):
        open_database(f"sqlite:///{network}/orders.db", application="test")
    assert list(network.iterdir()) == []


@pytest.mark.parametrize("settings", [OrdersSettings, ReportingSettings, EtlSettings, DealListenerSettings])
def test_every_server_with_a_database_refuses_to_start(
    settings: type[ServerSettings], network: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIDSTREAM_DATABASE_URL", f"sqlite:///{network}/one.db")
    with pytest.raises(SystemExit) as caught:
        load(settings)
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "DATABASE_URL: " in said
    assert "network file system (NFS)" in said


def test_keys_that_lie_apart_are_looked_at_as_well(network: Path) -> None:
    settings = ServerSettings(keys_database_url=f"sqlite:///{network}/keys.db")
    with pytest.raises(ValueError, match="NFS"):
        open_keys(settings, application="test")


async def test_the_command_for_keys_says_it_in_one_line(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_KEYS_DATABASE_URL", f"sqlite:///{network}/keys.db")
    with pytest.raises(StartRefused, match=r"MIDSTREAM_KEYS_DATABASE_URL.*NFS"):
        await _with_database(lambda *_: None, may_create=True)  # type: ignore[arg-type]


def test_the_system_is_really_asked() -> None:
    assert file_system_of(Path("/proc")) == 0x9FA0
    assert file_system_of(Path("/nowhere/at/all")) is None


@pytest.mark.parametrize(("kind", "expected"), [("virtiofs", None), ("fuse.sshfs", FUSE), ("", FUSE)])
def test_a_fuse_of_the_own_host_is_a_disk(
    kind: str, expected: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Library:
        def statfs(self, _: bytes, answer: object) -> int:
            ctypes.memmove(answer, FUSE.to_bytes(8, sys.byteorder), 8)  # type: ignore[arg-type]
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())
    monkeypatch.setattr(module, "_mount_type", lambda _: kind)

    assert file_system_of(tmp_path) == expected


def test_the_type_of_a_mount_is_found_by_its_device() -> None:
    assert module._mount_type(Path("/proc")) == "proc"
    assert module._mount_type(Path("/nowhere/at/all")) == ""


def test_a_path_that_no_file_can_have_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"^x{77}\.\.\. cannot be a database: File name too long"):
        placed_url(f"sqlite:///{'x' * 300}")
