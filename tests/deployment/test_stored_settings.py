"""docs/secrets.md is run: whole servers have their secrets from a Parameter Store, read once, and show them nowhere."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import flask
import pytest

from tests.support.cli import PATIENCE_S, clean_environment, command, kill, midstream, until
from tests.support.imports import ROOT
from tests.support.pages import shell_lines
from tests.support.ports import free_port

LINES = shell_lines((ROOT / "docs" / "secrets.md").read_text(encoding="utf-8"))
(PATH,) = {match for line in LINES for match in re.findall(r"MIDSTREAM_PARAMETERS=(\S+)", line)}
CANARY = "c4na7y" * 8
assert flask  # What the stand-in for Amazon is made of.


@dataclass
class Store:
    """A Parameter Store in a process of its own, as whole servers reach it."""

    port: int
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

    def client(self) -> Any:
        return boto3.client(
            "ssm",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="eu-central-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def aws(self, line: str, folder: Path) -> None:
        """Do what `aws ssm put-parameter ...` does."""
        program, service, verb, *rest = shlex.split(line)
        options = dict(zip(rest[::2], rest[1::2], strict=True))
        assert (program, service, verb, options.keys()) == (
            *("aws", "ssm", "put-parameter"),
            {"--type", "--name", "--value"},
        )
        value = options["--value"]
        if value.startswith("file://"):
            value = (folder / value.removeprefix("file://")).read_text()
        self.client().put_parameter(Name=options["--name"], Value=value, Type=options["--type"], Overwrite=True)

    def questions(self) -> int:
        """Count the requests that it has had."""
        return self.log.read_text().count('"POST / HTTP/1.1"')


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("store")
    made = Store(free_port(), folder / "store.log")
    made.environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{made.port}",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with made.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(made.port)], stdout=log, stderr=log
        )
    try:
        until(lambda: _answers(made.port), what="the store's start", timeout_s=PATIENCE_S)
        yield made
    finally:
        kill(process)


@pytest.fixture
def stored(store: Store, tmp_path: Path) -> dict[str, str]:
    """Secrets put where the page puts them; returns the environment of whoever is to find them."""
    (tmp_path / "database.url").write_text(f"sqlite:///{tmp_path}/{CANARY}.db\n")
    (tmp_path / "keys.secret").write_text(f"{CANARY}\n")
    lines = [line for line in LINES if line.startswith("aws ")]
    assert len(lines) == 2
    for line in lines:
        store.aws(line, tmp_path)
    return {**store.environment, "MIDSTREAM_PARAMETERS": PATH, "MIDSTREAM_OUT": str(tmp_path / "var")}


def test_servers_have_their_secrets_from_the_store_and_show_them_nowhere(
    store: Store, stored: dict[str, str], tmp_path: Path
) -> None:
    store.client().put_parameter(Name=f"{PATH}/MIDSTREAM_DATABSE_URL", Value=CANARY, Type="SecureString")
    (line,) = (line for line in LINES if line.startswith("midstream serve"))
    names = shlex.split(line)[2:]
    environment = {
        **stored,
        "MIDSTREAM_LOG_LEVEL": "debug",
        **{f"MIDSTREAM_{name.upper().replace('-', '_')}_PORT": str(free_port()) for name in names},
        "MIDSTREAM_POWER_LISTENER_METRICS_PORT": "0",
    }
    before, log = store.questions(), tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("serve", *names), cwd=ROOT, env=clean_environment(environment), stdout=output, stderr=output
        )
    try:
        until(
            lambda: process.poll() is not None or "every server is up" in log.read_text(),
            what="the start",
            timeout_s=PATIENCE_S,
        )
        assert process.poll() is None, log.read_text()
        ready = json.loads((tmp_path / "var" / ".midstream" / "ready" / "power-listener.json").read_text())
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (process.pid, ready["pid"])]
        inherited = Path(f"/proc/{ready['pid']}/environ").read_bytes().split(b"\0")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_S) == 0
    finally:
        kill(process)

    said = log.read_text()
    assert (tmp_path / f"{CANARY}.db").exists()
    assert store.questions() == before + 1
    assert [line for line in lines if CANARY.encode() in line] == []
    assert f"MIDSTREAM_KEYS_SECRET={CANARY}".encode() in inherited
    assert [each for each in inherited if each.startswith(b"MIDSTREAM_PARAMETERS=")] == []
    assert f"from Parameter Store, {PATH}: MIDSTREAM_DATABASE_URL, MIDSTREAM_KEYS_SECRET" in said
    assert f"{PATH}/MIDSTREAM_DATABSE_URL is no sensitive setting; did you mean MIDSTREAM_DATABASE_URL?" in said
    # The file's name may be said, as it is no secret; its folder tells it from the value.
    assert CANARY not in said.replace(f"{tmp_path}/{CANARY}.db", "")
    store.client().delete_parameter(Name=f"{PATH}/MIDSTREAM_DATABSE_URL")


def test_a_command_reads_them_itself(store: Store, stored: dict[str, str], tmp_path: Path) -> None:
    made = midstream("keys", "create", "--create", "--role", "read", cwd=tmp_path, environment=_importable(stored))
    listed = midstream("keys", "list", cwd=tmp_path, environment=_importable(stored))

    assert (made.code, listed.code) == (0, 0), made.stderr + listed.stderr
    assert (tmp_path / f"{CANARY}.db").exists()
    assert "read" in listed.stdout


def test_what_is_set_in_the_environment_is_not_replaced(stored: dict[str, str], tmp_path: Path) -> None:
    mine = {**_importable(stored), "MIDSTREAM_DATABASE_URL": f"sqlite:///{tmp_path}/mine.db"}

    assert midstream("keys", "create", "--create", "--role", "read", cwd=tmp_path, environment=mine).code == 0

    assert (tmp_path / "mine.db").exists()
    assert not (tmp_path / f"{CANARY}.db").exists()


def test_settings_are_listed_without_asking_the_store(store: Store, stored: dict[str, str]) -> None:
    before = store.questions()

    listed = midstream("settings", "orders", environment=stored)

    assert listed.code == 0
    assert CANARY not in listed.stdout
    assert "sensitive: its value is never shown" in listed.stdout
    assert store.questions() == before


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"MIDSTREAM_PARAMETERS": "/midstream/prod/nobody"}, 2, "has nothing below /midstream/prod/nobody"),
        ({"MIDSTREAM_PARAMETERS": "midstream"}, 2, "path 'midstream' is not usable"),
        ({"AWS_ENDPOINT_URL": "closed"}, 75, f"path {PATH} cannot be asked: EndpointConnectionError"),
    ],
    ids=["empty", "no path", "away"],
)
@pytest.mark.parametrize("starter", ["a server", "serve"])
def test_a_store_that_gives_nothing_ends_the_start(
    stored: dict[str, str], change: dict[str, str], code: int, said: str, starter: str
) -> None:
    environment = {**stored, **change, "MIDSTREAM_POWER_LISTENER_PORT": "0"}
    if change.get("AWS_ENDPOINT_URL"):
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{free_port()}"
    line = (
        command("serve", "power-listener")
        if starter == "serve"
        else [sys.executable, "-P", "-m", "services.power.listener"]
    )

    done = subprocess.run(
        line, cwd=ROOT, env=clean_environment(environment), capture_output=True, text=True, timeout=PATIENCE_S
    )

    assert done.returncode == code, done.stderr
    assert "MIDSTREAM_PARAMETERS: " in done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _importable(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, "PYTHONPATH": str(ROOT)}


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
