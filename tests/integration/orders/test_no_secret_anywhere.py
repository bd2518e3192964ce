"""S18: no secret that goes into a real server comes out of it: not in logs, answers, figures, files, or the list of processes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clients.database import open_database
from services.orders.journal import prepare_orders_database
from services.runtime.access import Role
from services.runtime.access.keys import create_key, pepper_source, prepare_keys
from tests.support.server_process import ServerProcess
from tests.support.tls import Authority

PEPPER = "canary-pepper-0123456789abcdef0123456789abcdef"
EXCHANGE_SECRET = "canary-exchange-secret-0123456789"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJjYW5hcnkiOiJqd3QifQ.canaryCanaryCanarySignature"
WRONG = "mk_0123456789abcdef_" + "canaryWrong" + "w" * 32


@dataclass(frozen=True)
class Stage:
    """A server that has been given secrets, and was asked with right and wrong ones."""

    server: ServerProcess
    directory: Path
    secrets: dict[str, bytes]
    answers: list[str]


async def made_key(url: str, directory: Path) -> str:
    engine = open_database(url, application="test")
    try:
        await prepare_orders_database(engine)
        source = pepper_source(url, file=None, text=PEPPER, directory=directory)
        pepper = await prepare_keys(engine, source, now_ns=time.time_ns())
        return await create_key(engine, pepper, name="canary", roles={Role.ADMIN})
    finally:
        await engine.dispose()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("canary")
    outside = tmp_path_factory.mktemp("outside")
    authority = Authority()
    pair = authority.pair("localhost", "127.0.0.1")
    cert, key_file = pair.write(outside, "server")
    url = f"sqlite:///{directory}/orders.db"
    key = asyncio.run(made_key(url, directory))
    secret = key.split("_", 2)[2]
    server = ServerProcess(
        "orders", directory, ORDERS_DATABASE_URL=url, ORDERS_WEB_PORT="0", KEYS_SECRET=PEPPER, LOG_LEVEL="debug",
        TLS_CERT=str(cert), TLS_KEY=str(key_file), ORDERS_EXCHANGES="binance", BINANCE_URL="http://127.0.0.1:1",
        BINANCE_API_KEY="canary-key-0123456789", BINANCE_API_SECRET=EXCHANGE_SECRET,
    )  # fmt: skip
    answers: list[str] = []
    url = f"https://localhost:{server.announcement['web_port']}"
    for path in (
        "/v1/orders/active",
        "/v1/kill-switch",
        "/v1/nothing",
        "/metrics",
        "/health",
        "/openapi.json",
        f"/v1/orders/{secret}",
    ):
        for authorization in (
            "", f"Bearer {key}", f"Bearer {WRONG}", f"Bearer {TOKEN}", f"Bearer {key}x",
            "Basic " + base64.b64encode(f"me:{WRONG}".encode()).decode(),
        ):  # fmt: skip
            answers.append(answer(url + path, authorization, authority.trusting()))
    # What a caller puts into a path is its own doing: only the route is ours to keep quiet about.
    line = pair.key.splitlines()[1]
    secrets = {
        "the pepper": PEPPER.encode(), "the derived pepper": hashlib.sha256(PEPPER.encode()).hexdigest().encode(),
        "a key": key.encode(), "a key's secret": secret.encode(), "what signs": hashlib.sha256(secret.encode()).hexdigest().encode(),
        "a wrong key": WRONG.encode(), "a token": TOKEN.encode(), "a token's signature": TOKEN.rpartition(".")[2].encode(),
        "the exchange's secret": EXCHANGE_SECRET.encode(), "PEM": line, "a password": base64.b64encode(f"me:{WRONG}".encode()),
    }  # fmt: skip
    try:
        yield Stage(server, directory, secrets, answers)
    finally:
        server.channel.close()
        server.kill()


def answer(url: str, authorization: str, context: ssl.SSLContext) -> str:
    """Return everything that comes back."""
    request = urllib.request.Request(url, headers={"Authorization": authorization} if authorization else {})
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as response:
            return f"{response.status} {response.headers} {response.read().decode()}"
    except urllib.error.HTTPError as exc:
        return f"{exc.code} {exc.headers} {exc.read().decode()}"


def found(stage: Stage, content: bytes) -> list[str]:
    return [name for name, secret in stage.secrets.items() if secret in content]


def test_the_stage_was_asked_with_everything(stage: Stage) -> None:
    codes = {text.partition(" ")[0] for text in stage.answers}

    assert {"200", "401", "404", "429"} <= codes
    assert b'"level": "debug"' in stage.server.log.read_bytes()


def test_no_answer_holds_a_secret(stage: Stage) -> None:
    own = stage.secrets.pop("a key's secret")
    try:
        for text in stage.answers:
            assert found(stage, text.encode()) == [], text
    finally:
        stage.secrets["a key's secret"] = own


def test_no_log_holds_a_secret(stage: Stage) -> None:
    assert found(stage, stage.server.log.read_bytes()) == []


def test_no_process_shows_a_secret(stage: Stage) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            shown = (process / "cmdline").read_bytes()
        except OSError:
            continue
        assert found(stage, shown) == [], shown


def test_no_file_holds_a_secret(stage: Stage) -> None:
    files = [path for path in stage.directory.rglob("*") if path.is_file()]

    assert {"orders.db", "orders.ready.json", "orders.log"} <= {path.name for path in files}
    for path in files:
        assert found(stage, path.read_bytes()) == [], path
    assert "keys_secret" in json.loads((stage.directory / "orders.ready.json").read_text())
