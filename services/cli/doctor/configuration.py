"""Checks of the settings: names, values, what they need installed, files that they name, keys."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from unittest import mock
from urllib.parse import urlsplit

from pydantic import ValidationError

from clients.database import placed_url
from clients.exchanges.names import CLOSED, EXCHANGES
from clients.secrets.environment import key_source
from clients.secrets.errors import SecretRefused
from services.cli.doctor.findings import Finding, Patient, fault, ok, warning
from services.runtime.errors import StartRefused
from services.runtime.known_settings import is_strict, unknown_settings

CERTIFICATE_DAYS_MIN: Final = 14

_SETTINGS_PAGE: Final = "docs/settings.md"
_EXTRAS: Final = {"aws": "boto3", "jwt": "jwt", "tracing": "opentelemetry.sdk"}
_DATABASES: Final = "_DATABASE_URL"


def names(patient: Patient) -> Iterator[Finding]:
    """Are there variables that no setting has."""
    unknown = unknown_settings(patient.environment)
    found = fault if is_strict(patient.environment) else warning
    for name, nearest in unknown.items():
        fix = f"did you mean {nearest}?" if nearest else "take it out"
        yield found(f"{name} is no setting and does nothing", fix, _SETTINGS_PAGE)
    if not unknown:
        count = sum(name.upper().startswith("MIDSTREAM_") for name in patient.environment)
        yield ok(f"{count} settings are set, all of them known")


def values(patient: Patient) -> Iterator[Finding]:
    """Would every server take its settings."""
    from services.cli.settings_catalogue import MODELS
    from services.runtime.setting_problems import REDIS_URL_FIX, problems

    complaints: dict[str, list[str]] = {}
    with mock.patch.dict(os.environ, patient.environment, clear=True):
        for server in patient.servers:
            try:
                MODELS[server]()
            except ValidationError as exc:
                for line in problems(MODELS[server], exc):
                    # `serve` brings its own Redis, and says where the feed is that it simulates.
                    if REDIS_URL_FIX not in line:
                        complaints.setdefault(line, []).append(server)
            except StartRefused as exc:
                complaints.setdefault(exc.message, []).append(server)
    for line, servers in complaints.items():
        name, _, problem = line.partition(": ")
        yield fault(f"{name}: {problem} (read by {', '.join(servers)})", f"correct {name}", _SETTINGS_PAGE)
    if not complaints:
        yield ok(f"{', '.join(patient.servers)} would take their settings")


def history(patient: Patient) -> Iterator[Finding]:
    """Are the files there that are to be replayed."""
    from services.replay.sources.inputs import expand

    named = patient.set("MIDSTREAM_HISTORICAL")
    if "replay" not in patient.servers or not named:
        yield ok("no files are named; `serve` plays the sample" if not named else "nothing replays files")
        return
    try:
        files = expand([part.strip() for part in named.split(",") if part.strip()])
    except StartRefused as exc:
        yield fault(exc.message, "correct MIDSTREAM_HISTORICAL", "docs/queue.md")
        return
    unreadable = [file for file in files if not os.access(file, os.R_OK)]
    if unreadable:
        yield fault(
            f"{unreadable[0]} cannot be read",
            "give it to the user that servers run as, or correct MIDSTREAM_HISTORICAL",
            "docs/queue.md",
        )
    else:
        yield ok(f"{len(files)} files are there to be replayed")


def extras(patient: Patient) -> Iterator[Finding]:
    """Is what settings need installed."""
    wanted: dict[str, str] = {}
    if "tokens" in patient.set("MIDSTREAM_AUTH"):
        wanted["jwt"] = "MIDSTREAM_AUTH names tokens"
    if patient.set("MIDSTREAM_TRACING") not in ("", "off"):
        wanted["tracing"] = "MIDSTREAM_TRACING is on"
    for name in (*(f"MIDSTREAM_{exchange.upper()}_SSM_PATH" for exchange in EXCHANGES), "MIDSTREAM_PARAMETERS"):
        if patient.set(name):
            wanted["aws"] = f"{name} names a parameter"
    for extra, why in wanted.items():
        if not is_installed(_EXTRAS[extra]):
            yield fault(f"{why}, and the extra `{extra}` is not installed", f"pip install 'midstream[{extra}]'")
        else:
            yield ok(f"the extra `{extra}` is installed ({why})")
    if not wanted:
        yield ok("no setting needs an extra")


def is_installed(module: str) -> bool:
    """Tell whether a module could be imported; nothing is."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def certificates(patient: Patient) -> Iterator[Finding]:
    """Do certificate and key fit, and for how long."""
    from services.runtime.tls.material import Paths, Unusable, make_material, read_contents

    cert, key, authority = (patient.set(f"MIDSTREAM_TLS_{name}") for name in ("CERT", "KEY", "CLIENT_CA"))
    if not cert and not key:
        yield ok("servers speak plain text: no MIDSTREAM_TLS_CERT")
        return
    if not cert or not key:
        missing = "MIDSTREAM_TLS_KEY" if cert else "MIDSTREAM_TLS_CERT"
        yield fault(f"{missing} is not set, and its other half is", f"set {missing}, too", "docs/tls.md")
        return
    paths = Paths(Path(cert), Path(key), Path(authority) if authority else None)
    try:
        material = make_material(paths, read_contents(paths), wall_ns=time.time_ns())
    except Unusable as exc:
        yield fault(str(exc), "put files there that fit together", "docs/tls.md")
        return
    days = (material.not_after_ns - time.time_ns()) / 86_400e9
    if days < CERTIFICATE_DAYS_MIN:
        yield warning(
            f"{cert} ends in {days:.1f} days",
            "put a new one in its place; servers take it without a restart",
            "docs/tls.md",
        )
    else:
        yield ok(f"{cert} and its key fit, and last another {days:.0f} days")


def keys(patient: Patient) -> Iterator[Finding]:
    """Are the keys of the exchanges there, where orders go to real ones."""
    place = patient.set("MIDSTREAM_EXCHANGES") or "simulator"
    page = "docs/operating_orders.md"
    found = False
    for exchange in EXCHANGES:
        prefix = f"MIDSTREAM_{exchange.upper()}"
        if patient.set(f"{prefix}_SSM_PATH"):
            found = True
            yield ok(f"the key of {exchange} is in Parameter Store")
            continue
        try:
            source = key_source(exchange, patient.environment)
        except SecretRefused as exc:
            found = True
            yield fault(f"the key of {exchange} is of no use: {exc}", "give both halves, in files of mode 0600", page)
            continue
        if source is not None:
            found = True
            yield ok(f"there is a key of {exchange}")
        elif place != "simulator" and exchange not in CLOSED and "orders" in patient.servers:
            found = True
            yield warning(
                f"there is no key of {exchange} ({place}): only public data",
                f"set {prefix}_API_KEY_FILE and {prefix}_API_SECRET_FILE",
                page,
            )
    if not found:
        yield ok("exchanges are simulated, their demo keys are used" if place == "simulator" else "no key is needed")


def proxies(patient: Patient) -> Iterator[Finding]:
    """Would calls to this machine go to a proxy."""
    lowered = {name.lower(): value for name, value in patient.environment.items() if value}
    named = sorted(name for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy") if name in lowered)
    host = patient.set("MIDSTREAM_HOST") or "127.0.0.1"
    excepted = {
        each.strip().lstrip(".")
        for each in f"{lowered.get('no_proxy', '')},{lowered.get('no_grpc_proxy', '')}".split(",")
    }
    proxy = (urlsplit(lowered[named[0]]).hostname if named else "") or "a proxy"
    if named and not excepted & {"*", host, "localhost" if host == "127.0.0.1" else host}:
        yield warning(
            f"{', '.join(named)} is set and no_proxy does not name {host}: commands may look for servers behind {proxy}",
            f"set no_proxy={host},localhost",
        )
    else:
        yield ok("no proxy stands between commands and servers")


def databases(patient: Patient) -> Iterator[Finding]:
    """Are SQLite files on a disk of this machine, and does every Postgres answer."""
    from services.cli.doctor.reaching import postgres_trouble

    urls = {
        name: patient.set(name)
        for name in sorted(patient.environment)
        if name.endswith(_DATABASES) and patient.set(name)
    }
    if not urls:
        urls = {"MIDSTREAM_ORDERS_DATABASE_URL": "sqlite:///var/orders.db"}
    page = "docs/redis_and_postgres.md"
    for name, url in urls.items():
        try:
            placed = placed_url(url)
        except ValueError as exc:
            yield fault(f"{name}: {exc}", f"correct {name}", page)
            continue
        if placed.drivername.startswith("sqlite"):
            yield ok(f"{name}: {placed.database} is on a disk of this machine")
        elif trouble := postgres_trouble(url):
            yield fault(
                f"{name}: {placed.host}: {trouble}",
                "start the database, or correct host, port, user and password in the URL",
                page,
            )
        else:
            yield ok(f"{name}: Postgres at {placed.host} answers")
