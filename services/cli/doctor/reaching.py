"""Checks of what servers reach: Redis, Postgres, ports."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import redis
from pydantic import ValidationError
from sqlalchemy import text

from clients.database import open_database
from services.cli.doctor.findings import Finding, Patient, fault, ok, warning
from services.cli.redis_url import usable_redis_url
from services.cli.servers import SERVERS
from services.cli.settings_catalogue import MODELS
from services.replay.config import ReplaySettings
from services.runtime.addresses import host_and_port
from services.runtime.connection import connect, redacted
from services.runtime.errors import FailedPrecondition, StartRefused
from services.runtime.preflight import inspect
from services.runtime.ready import announcements
from services.runtime.redis_binary import find_engine
from services.runtime.redis_data import admit
from services.runtime.session import partitions_stored
from services.runtime.session.keys import SessionKeys

PATIENCE_S: Final = 3.0
SKEW_S_MAX: Final = 1.0

_PAGE: Final = "docs/redis_and_postgres.md"
_LISTENING: Final = "0A"
_YES: Final = ("1", "on", "t", "true", "y", "yes")
"""What settings take for true."""


def queue(patient: Patient) -> Iterator[Finding]:
    """Is there a Redis that keeps ticks."""
    url = patient.set("MIDSTREAM_REDIS_URL")
    if not any(SERVERS[name].redis for name in patient.servers):
        yield ok("none of these servers needs Redis")
    elif url:
        durable = patient.set("MIDSTREAM_ACKNOWLEDGED").lower() == "durable"
        # What the engine promises by itself it needs no file for; the start asks the same.
        promised = durable and patient.set("MIDSTREAM_DURABLE_ENGINE").lower() in _YES
        live = bool(patient.set("MIDSTREAM_LIVE_URL"))
        yield from _named(patient, url, live=live and not promised, durable=durable and not promised)
    else:
        yield from _bundled(patient.out / "redis")


def _named(patient: Patient, url: str, *, live: bool, durable: bool) -> Iterator[Finding]:
    shown = redacted(url)
    try:
        with connect(usable_redis_url(url), client_name="midstream-doctor", timeout_s=PATIENCE_S) as client:
            found = inspect(client, live=live, durable=durable)
            seconds, microseconds = client.time()
            otherwise = _published_otherwise(patient, client)
    except StartRefused as exc:
        yield fault(exc.message, "correct MIDSTREAM_REDIS_URL", _PAGE)
        return
    except (redis.RedisError, OSError) as exc:
        yield fault(
            f"Redis at {shown} does not answer ({redacted(str(exc)) or type(exc).__name__})",
            "start it, correct MIDSTREAM_REDIS_URL, or unset that: `midstream serve` brings its own",
            _PAGE,
        )
        return
    for each in found:
        at = f"Redis at {each.address or shown}"
        for objection in each.objections:
            what, _, fix = objection.rpartition("; ")
            yield fault(f"{at}: {what or objection}", fix, _PAGE)
        if each.facts.open_to_all:
            yield warning(
                f"{at} lets in whoever reaches it", "set a password (`requirepass`), or `bind 127.0.0.1`", _PAGE
            )
    if otherwise:
        what, _, fix = otherwise.rpartition(": ")
        yield fault(what or otherwise, fix, "docs/partitions.md")
    skew_s = seconds + microseconds / 1e6 - time.time()
    if abs(skew_s) > SKEW_S_MAX:
        yield warning(
            f"the clock of Redis' machine is {skew_s:+.1f} s beside ours", "keep both with chrony or systemd-timesyncd"
        )
    if not any(each.objections for each in found):
        facts = found[0].facts
        name = f"Valkey {facts.valkey_version}" if facts.valkey_version else f"Redis {facts.version}"
        kept = "with" if facts.append_only else "without"
        many = f", a cluster of {len(found)} primaries," if found[0].address else ""
        yield ok(f"{name} at {shown}{many} answers, {kept} an append-only file")


def _published_otherwise(patient: Patient, client: redis.Redis) -> str:
    """Say that the session is published in other partitions than the replay server would be set to; empty where all is well."""
    if "replay" not in patient.servers:
        return ""
    with mock.patch.dict(os.environ, patient.environment, clear=True):
        try:
            settings = ReplaySettings(redis_url=patient.set("MIDSTREAM_REDIS_URL"))
        except (ValidationError, StartRefused):
            # That is said of the settings.
            return ""
    try:
        return partitions_stored.objection(client, SessionKeys(settings.session), settings.partitioning())
    except FailedPrecondition as exc:
        return exc.message


def _bundled(directory: Path) -> Iterator[Finding]:
    try:
        engine = find_engine()
        admit(engine, directory)
    except StartRefused as exc:
        what, _, fix = exc.message.rpartition(": ")
        yield fault(what or exc.message, fix, _PAGE)
        return
    yield ok(f"`serve` would start {engine.text} ({engine.path})")


def postgres_trouble(url: str) -> str:
    """Return why a database does not answer; empty when it does."""

    async def ask() -> str:
        engine = open_database(url, application="doctor", create=False)
        try:
            async with asyncio.timeout(PATIENCE_S):
                async with engine.connect() as connection:
                    await connection.execute(text("select 1"))
        except TimeoutError:
            return f"no answer within {PATIENCE_S:g} s"
        except Exception as exc:  # noqa: BLE001  (every driver has classes of its own, and all of them mean that nothing gets through)
            return redacted(str(exc)).splitlines()[0] if str(exc) else type(exc).__name__
        finally:
            await engine.dispose()
        return ""

    return asyncio.run(ask())


def ports(patient: Patient) -> Iterator[Finding]:
    """Are the ports of the servers free, or theirs."""
    host = patient.set("MIDSTREAM_HOST") or "127.0.0.1"
    ours = {said.get("pid") for said in announcements(patient.out / ".midstream" / "ready").values()}
    taken: dict[int, str] = {}
    free = running = 0
    for server, setting, port in _wanted(patient):
        if port in taken:
            yield fault(
                f"port {port} is wanted twice: {taken[port]} and {setting}",
                f"set {setting} to another one",
                "docs/settings.md",
            )
            continue
        taken[port] = setting
        trouble = listen_trouble(host, port)
        if not trouble:
            free += 1
            continue
        pid, name = holder(port)
        if pid in ours and pid is not None:
            running += 1
            continue
        by = f" by {name} (process {pid})" if pid is not None else ""
        what = (
            f"port {port} of {server} is taken{by}"
            if trouble == "taken"
            else f"{host_and_port(host, port)} of {server}: {trouble}"
        )
        yield fault(what, f"end that process, or set {setting} to another port", "docs/settings.md")
    if free or running:
        said = [f"{free} ports are free"] if free else []
        said += [f"{running} are served by `midstream serve` with this MIDSTREAM_OUT"] if running else []
        yield ok(", ".join(said))


def _wanted(patient: Patient) -> Iterator[tuple[str, str, int]]:
    """Return the ports that servers would listen on: server, setting, port."""
    with mock.patch.dict(
        os.environ, {**patient.environment, "MIDSTREAM_REDIS_URL": "redis://127.0.0.1:6379/0"}, clear=True
    ):
        for server in patient.servers:
            try:
                settings: Any = MODELS[server]()
            except (ValidationError, StartRefused):
                continue
            prefix = f"MIDSTREAM_{server.upper().replace('-', '_')}"
            for field in ("port", "metrics_port", "web_port"):
                port = getattr(settings, field, 0)
                if port:
                    yield server, f"{prefix}_{field.upper()}", port
            if admin := getattr(settings, "health_port", None):
                yield server, f"{prefix}_ADMIN_PORT", admin


def listen_trouble(host: str, port: int) -> str:
    """Return why nothing could listen there, `taken` where somebody does; empty where it could."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        return f"{host} is no address of this machine ({exc.strerror})"
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: a connection that ended a moment ago does not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError:
            return "this user may not listen there"
        except OSError as exc:
            return "taken" if exc.errno == 98 else str(exc.strerror)
    return ""


def holder(port: int) -> tuple[int | None, str]:
    """Return process id and name of who listens on a port, as far as this user may see it."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for words in map(str.split, lines):
            if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{words[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            if any(os.readlink(each) in inodes for each in (process / "fd").iterdir()):
                said = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                return int(process.name), " ".join(said[:4]).strip()
        except OSError:
            continue
    return None, ""
