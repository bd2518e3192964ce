"""`midstream doctor`: every check with its fault planted, and with nothing wrong."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import time
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clients.exchanges.names import CLOSED
from services.cli.doctor import configuration, examination, machine, reaching
from services.cli.doctor.findings import Check, Finding, Level, Patient
from services.runtime import preflight
from services.runtime.errors import StartRefused
from services.runtime.preflight import RedisFacts
from services.runtime.session.keys import SessionKeys
from tests.support.cli import ROOT
from tests.support.ports import free_port

CORE = ("replay", "control", "price", "health")


@dataclass(frozen=True)
class Case:
    """A check, what is put in its way, and what it has to say then."""

    check: Check
    level: Level
    says: str
    fix: str
    environment: Mapping[str, str] = field(default_factory=dict)
    plant: Callable[[pytest.MonkeyPatch], object] = lambda patch: None


def patched(target: object, name: str, value: object) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(target, name, value)


def usage(free: int) -> Callable[[pytest.MonkeyPatch], None]:
    return patched(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def limited(hard: int) -> Callable[[pytest.MonkeyPatch], None]:
    return patched(resource, "getrlimit", lambda _: (hard, hard))


def refuse(message: str) -> Callable[..., Any]:
    def raising(*_: object, **__: object) -> Any:
        raise StartRefused(message)

    return raising


def no_zone(_: str) -> Any:
    raise zoneinfo.ZoneInfoNotFoundError


class FakeRedis(contextlib.AbstractContextManager["FakeRedis"]):
    """Answers TIME, and how the session is published."""

    def __init__(self, offset_s: float = 0.0, *, partitions: bytes | None = None, ticks: int = 0) -> None:
        self._offset_s = offset_s
        self._partitions, self._ticks = partitions, ticks

    def get(self, key: str) -> bytes | None:
        assert key == SessionKeys("default").partitions
        return self._partitions

    def xlen(self, key: str) -> int:
        return self._ticks

    def exists(self, key: str) -> int:
        return 0

    def __exit__(self, *_: object) -> None:
        return None

    def time(self) -> tuple[int, int]:
        return int(time.time() + self._offset_s), 0


def a_redis(
    *, offset_s: float = 0.0, partitions: bytes | None = None, ticks: int = 0, **facts: Any
) -> Callable[[pytest.MonkeyPatch], None]:
    usual: dict[str, Any] = {
        "version": "7.2.4", "run_id": "r", "role": "master", "maxmemory_policy": "noeviction", "append_only": True,
        "append_fsync": "everysec", "valkey_version": "", "open_to_all": False,
    }  # fmt: skip

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(reaching, "connect", lambda *_, **__: FakeRedis(offset_s, partitions=partitions, ticks=ticks))
        patch.setattr(preflight, "read_facts", lambda _: RedisFacts(**(usual | facts)))

    return plant


URL = {"MIDSTREAM_REDIS_URL": "redis://127.0.0.1:6379/0"}
FAULT, WARNING, OK = Level.FAULT, Level.WARNING, Level.OK

PLANTED = {
    "old Python": Case(machine.python, FAULT, "too old", "3.11", plant=patched(sys, "version_info", (3, 10, 9))),
    "new Python": Case(machine.python, WARNING, "newer than", "3.13", plant=patched(sys, "version_info", (3, 15, 0))),
    "32 bits": Case(machine.python, FAULT, "32-bit", "64-bit", plant=patched(sys, "maxsize", 2**31 - 1)),
    "no kernels": Case(
        machine.kernels,
        FAULT,
        "is not built",
        "make build-ext",
        plant=patched(
            machine,
            "require_kernels",
            refuse("the extension module fastpath.merge is not built for this Python: run it"),
        ),
    ),
    "old kernels": Case(
        machine.kernels,
        WARNING,
        "older than",
        "make build-ext",
        plant=patched(machine, "_is_stale", lambda name: name == "merge"),
    ),
    "no zones": Case(machine.zones, FAULT, "Europe/Berlin", "tzdata", plant=patched(zoneinfo, "ZoneInfo", no_zone)),
    "clock never set": Case(
        machine.clock, FAULT, "the clock says", "chrony", plant=patched(time, "time_ns", lambda: 5)
    ),
    "clock not kept": Case(
        machine.clock, WARNING, "not synchronised", "chrony", plant=patched(machine, "is_synchronised", lambda: False)
    ),
    "few files": Case(machine.open_files, FAULT, "256 files", "ulimit", plant=limited(256)),
    "not many files": Case(machine.open_files, WARNING, "1024 files", "LimitNOFILE", plant=limited(1024)),
    "full /tmp": Case(machine.temporary_files, FAULT, "1 MiB left", "TMPDIR", plant=usage(2**20)),
    "read-only /tmp": Case(
        machine.temporary_files, FAULT, "cannot be written", "tmpfs", plant=patched(os, "access", lambda *_: False)
    ),
    "full disk": Case(machine.out_folder, FAULT, "5 MiB left", "MIDSTREAM_OUT", plant=usage(5 * 2**20)),
    "nearly full disk": Case(machine.out_folder, WARNING, "500 MiB left", "MIDSTREAM_OUT", plant=usage(500 * 2**20)),
    "no inodes": Case(
        machine.out_folder,
        FAULT,
        "3 more files",
        "make room",
        plant=patched(
            os,
            "statvfs",
            lambda _: SimpleNamespace(
                f_files=9_000, f_favail=3, f_bavail=2**30, f_blocks=2**30, f_bfree=2**30, f_frsize=4096
            ),
        ),
    ),
    "misspelt": Case(configuration.names, WARNING, "MIDSTREAM_SPED", "MIDSTREAM_SPEED", {"MIDSTREAM_SPED": "9"}),
    "misspelt, strictly": Case(
        configuration.names,
        FAULT,
        "MIDSTREAM_SPED",
        "MIDSTREAM_SPEED",
        {"MIDSTREAM_SPED": "9", "MIDSTREAM_STRICT": "1"},
    ),
    "illegal value": Case(
        configuration.values, FAULT, "MIDSTREAM_LOG_LEVEL", "MIDSTREAM_LOG_LEVEL", {"MIDSTREAM_LOG_LEVEL": "loud"}
    ),
    "no recorded file": Case(
        configuration.history,
        FAULT,
        "nowhere/x.csv",
        "MIDSTREAM_HISTORICAL",
        {"MIDSTREAM_HISTORICAL": "/nowhere/x.csv"},
    ),
    "no file matches": Case(
        configuration.history,
        FAULT,
        "no file matches",
        "MIDSTREAM_HISTORICAL",
        {"MIDSTREAM_HISTORICAL": "/nowhere/*.csv"},
    ),
    "no jwt": Case(
        configuration.extras,
        FAULT,
        "`jwt` is not installed",
        "midstream[jwt]",
        {"MIDSTREAM_AUTH": "tokens"},
        patched(configuration, "is_installed", lambda module: module != "jwt"),
    ),
    "no aws": Case(
        configuration.extras,
        FAULT,
        "`aws` is not installed",
        "midstream[aws]",
        {"MIDSTREAM_PARAMETERS": "/midstream/prod/orders"},
        patched(configuration, "is_installed", lambda module: module != "boto3"),
    ),
    "no tracing": Case(
        configuration.extras,
        FAULT,
        "`tracing` is not installed",
        "midstream[tracing]",
        {"MIDSTREAM_TRACING": "otlp"},
        patched(configuration, "is_installed", lambda module: False),
    ),
    "half a pair": Case(
        configuration.certificates, FAULT, "MIDSTREAM_TLS_KEY", "MIDSTREAM_TLS_KEY", {"MIDSTREAM_TLS_CERT": "/x.pem"}
    ),
    "no such certificate": Case(
        configuration.certificates,
        FAULT,
        "/nowhere/x.pem",
        "fit together",
        {"MIDSTREAM_TLS_CERT": "/nowhere/x.pem", "MIDSTREAM_TLS_KEY": "/nowhere/k.pem"},
    ),
    "half a key": Case(configuration.keys, FAULT, "binance", "0600", {"MIDSTREAM_BINANCE_API_KEY": "k"}),
    "no key": Case(
        configuration.keys, WARNING, "no key of binance (testnet)", "API_KEY_FILE", {"MIDSTREAM_EXCHANGES": "testnet"}
    ),
    "proxy": Case(
        configuration.proxies,
        WARNING,
        "https_proxy",
        "no_proxy=127.0.0.1",
        {"HTTPS_PROXY": "http://proxy.example:3128"},
    ),
    "SQLite on NFS": Case(
        configuration.databases,
        FAULT,
        "network file system",
        "MIDSTREAM_ORDERS_DATABASE_URL",
        {"MIDSTREAM_ORDERS_DATABASE_URL": "sqlite:////mnt/nfs/x.db"},
        patched(sys.modules["clients.database.engine"], "network_file_system", lambda *_: "NFS"),
    ),
    "unusable database": Case(
        configuration.databases,
        FAULT,
        "MIDSTREAM_DATABASE_URL",
        "MIDSTREAM_DATABASE_URL",
        {"MIDSTREAM_DATABASE_URL": "oracle://x/y"},
    ),
    "Postgres away": Case(
        configuration.databases,
        FAULT,
        "127.0.0.1",
        "start the database",
        {"MIDSTREAM_DATABASE_URL": f"postgresql://me@127.0.0.1:{free_port()}/x"},
    ),
    "Redis away": Case(
        reaching.queue,
        FAULT,
        "does not answer",
        "start it",
        {"MIDSTREAM_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"},
    ),
    "no Redis URL": Case(
        reaching.queue, FAULT, "must be redis://", "MIDSTREAM_REDIS_URL", {"MIDSTREAM_REDIS_URL": "http://x"}
    ),
    "old Redis": Case(reaching.queue, FAULT, "Redis 6.2.1 is too old", "use Redis 7.0", URL, a_redis(version="6.2.1")),
    "Redis evicts": Case(
        reaching.queue, FAULT, "allkeys-lru", "noeviction", URL, a_redis(maxmemory_policy="allkeys-lru")
    ),
    "replica": Case(reaching.queue, FAULT, "replica", "replicaof no one", URL, a_redis(role="slave")),
    "nothing is kept": Case(
        reaching.queue,
        FAULT,
        "append-only file is off",
        "appendonly yes",
        URL | {"MIDSTREAM_LIVE_URL": "ws://x"},
        a_redis(append_only=False),
    ),
    "nothing is durable": Case(
        reaching.queue,
        FAULT,
        "needs the append-only file",
        "MIDSTREAM_DURABLE_ENGINE=true",
        URL | {"MIDSTREAM_ACKNOWLEDGED": "durable"},
        a_redis(append_only=False),
    ),
    "open Redis": Case(reaching.queue, WARNING, "whoever reaches it", "requirepass", URL, a_redis(open_to_all=True)),
    "other partitions": Case(
        reaching.queue,
        FAULT,
        "session `default` is published in 4 partitions, and this server is set to 2 partitions",
        "set MIDSTREAM_PARTITIONS=4, or take another name with MIDSTREAM_SESSION",
        URL | {"MIDSTREAM_PARTITIONS": "2"},
        a_redis(partitions=b'{"count": 4, "assigned": {"BTC": 1}}'),
    ),
    "other tickers": Case(
        reaching.queue,
        FAULT,
        "other tickers assigned to its partitions than MIDSTREAM_PARTITION_OF says",
        "leave that as it was",
        URL | {"MIDSTREAM_PARTITIONS": "4", "MIDSTREAM_PARTITION_OF": "BTC=2"},
        a_redis(partitions=b'{"count": 4, "assigned": {"BTC": 1}}'),
    ),
    "published whole": Case(
        reaching.queue,
        FAULT,
        "is published in one partition, and this server is set to 2 partitions",
        "set MIDSTREAM_PARTITIONS=1",
        URL | {"MIDSTREAM_PARTITIONS": "2"},
        a_redis(ticks=7),
    ),
    "partitions unreadable": Case(
        reaching.queue, FAULT, "says nothing of how many", "find out who wrote it", URL, a_redis(partitions=b"?")
    ),
    "clocks apart": Case(reaching.queue, WARNING, "beside ours", "chrony", URL, a_redis(offset_s=-90)),
    "no Redis program": Case(
        reaching.queue,
        FAULT,
        "no Redis found",
        "install",
        plant=patched(reaching, "find_engine", refuse("no Redis found: install one")),
    ),
    "other engine's files": Case(
        reaching.queue,
        FAULT,
        "written by valkey 9.0.0",
        "use valkey",
        plant=patched(
            reaching,
            "admit",
            refuse("var/redis was written by valkey 9.0.0, which redis 7.2 does not read: use valkey"),
        ),
    ),
    "no such address": Case(
        reaching.ports,
        FAULT,
        "no address of this machine",
        "MIDSTREAM_REPLAY_PORT",
        {"MIDSTREAM_HOST": "nowhere.invalid", "MIDSTREAM_INSECURE": "yes"},
    ),
    "wanted twice": Case(
        reaching.ports,
        FAULT,
        "wanted twice",
        "MIDSTREAM_CONTROL_PORT",
        {"MIDSTREAM_REPLAY_PORT": "45999", "MIDSTREAM_CONTROL_PORT": "45999"},
    ),
}


def found(case: Case, out: Path, servers: tuple[str, ...] = (*CORE, "orders")) -> list[Finding]:
    return list(case.check(Patient(dict(case.environment), servers, out)))


def test_a_key_of_an_exchange_that_has_closed_is_not_missed(tmp_path: Path) -> None:
    said = [finding.what for finding in found(PLANTED["no key"], tmp_path)]

    assert [exchange for exchange in CLOSED if any(exchange in each for each in said)] == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_and_its_fix_is_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = PLANTED[name]
    case.plant(monkeypatch)

    worst = [finding for finding in found(case, tmp_path / "out") if finding.level is case.level]

    assert any(case.says in finding.what for finding in worst), worst
    assert any(case.fix in finding.fix for finding in worst if case.says in finding.what), worst


HEALTHY: dict[str, tuple[Check, dict[str, str]]] = {
    "python": (machine.python, {}),
    "kernels": (machine.kernels, {}),
    "time zones": (machine.zones, {}),
    "clock": (machine.clock, {}),
    "open files": (machine.open_files, {}),
    "temporary files": (machine.temporary_files, {}),
    "output folder": (machine.out_folder, {}),
    "setting names": (configuration.names, {"MIDSTREAM_SPEED": "2", "HOME": "/root"}),
    "setting values": (configuration.values, {"MIDSTREAM_SPEED": "2"}),
    "recorded files": (configuration.history, {"MIDSTREAM_HISTORICAL": str(ROOT / "data" / "historical_sample.csv")}),
    "extras": (configuration.extras, {"MIDSTREAM_AUTH": "keys", "MIDSTREAM_TRACING": "off"}),
    "certificates": (configuration.certificates, {}),
    "exchange keys": (configuration.keys, {}),
    "proxies": (configuration.proxies, {"HTTPS_PROXY": "http://proxy.example", "NO_PROXY": "localhost,127.0.0.1"}),
    "databases": (configuration.databases, {"MIDSTREAM_ORDERS_DATABASE_URL": "sqlite:///var/orders.db"}),
    "redis": (reaching.queue, {}),
    "ports": (reaching.ports, {f"MIDSTREAM_{name.upper()}_{kind}": "0" for name in CORE for kind in ("METRICS_PORT",)}),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_said_against_what_is_well(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check, environment = HEALTHY[name]
    monkeypatch.setattr(machine, "is_synchronised", lambda: True)
    limited(20_000)(monkeypatch)
    usage(10 * 2**30)(monkeypatch)
    monkeypatch.setattr(machine, "_is_stale", lambda _: False)
    if name == "ports":
        environment |= {f"MIDSTREAM_{server.upper()}_PORT": str(free_port()) for server in CORE}

    said = list(check(Patient(environment, CORE, tmp_path / "out")))

    assert said
    assert {finding.level for finding in said} == {OK}, said


def test_a_redis_that_is_well_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_redis()(monkeypatch)

    [finding] = reaching.queue(Patient(URL | {"MIDSTREAM_LIVE_URL": "ws://x"}, CORE, tmp_path))

    assert (finding.level, "with an append-only file" in finding.what) == (OK, True)


@pytest.mark.parametrize(
    ("servers", "settings"),
    [
        (CORE, {"MIDSTREAM_PARTITIONS": "4", "MIDSTREAM_PARTITION_OF": "BTC=1"}),
        # Whoever does not publish reads how it is.
        (("price",), {}),
    ],
    ids=["the same", "none that publishes"],
)
def test_a_session_that_is_published_as_it_is_set_is_well(
    servers: tuple[str, ...], settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_redis(partitions=b'{"count": 4, "assigned": {"BTC": 1}}')(monkeypatch)

    assert [finding.level for finding in reaching.queue(Patient(URL | settings, servers, tmp_path))] == [OK]


def test_what_an_engine_promises_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_redis(append_only=False)(monkeypatch)
    promised = {"MIDSTREAM_ACKNOWLEDGED": "durable", "MIDSTREAM_DURABLE_ENGINE": "True"}

    [finding] = reaching.queue(Patient(URL | {"MIDSTREAM_LIVE_URL": "ws://x"} | promised, CORE, tmp_path))

    assert finding.level == OK


def test_every_check_has_a_planted_fault_and_a_healthy_case() -> None:
    functions = {
        f"{check.__module__.rpartition('.')[2]}.{check.__name__}" for check in (each.check for each in PLANTED.values())
    }  # type: ignore[attr-defined]

    assert functions == set(examination.CHECKS.values())
    assert set(HEALTHY) == set(examination.CHECKS)
