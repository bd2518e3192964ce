"""The `midstream` command of somebody who has installed a wheel, and has no checkout."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from services.cli.servers import SERVERS
from tests.support.cli import PATIENCE_S, kill, until
from tests.support.imports import ROOT
from tests.support.packages import python_of, strangers_environment
from tests.support.ports import free_port

INSTALL_TIMEOUT_S: Final = 900.0
POWER: Final = ("sim-power-exchange", "sim-market-data", "power-listener", "power-etl", "reporting")
SAMPLE: Final = "data/historical_sample.csv"
_ORDER: Final = {
    "exchange": "binance",
    "symbol": "BTC/USDT",
    "side": "BUY",
    "type": "LIMIT",
    "quantity": "0.001",
    "price": "63000",
    "time_in_force": "GTC",
}


class Installed:
    """One virtual environment with Midstream in it."""

    def __init__(self, environment: Path) -> None:
        self._python = python_of(environment)
        self._command = environment / "bin" / "midstream"

    @classmethod
    def beside(cls, wheel: Path, to: Path) -> Installed:
        """Install a wheel into a new environment that has what it needs from the one of the tests, and nothing of the checkout."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", to], check=True, timeout=INSTALL_TIMEOUT_S)
        installed = cls(to)
        installed.pip("install", "--no-deps", "--no-index", wheel)
        (site,) = (to / "lib").glob("python3*/site-packages")
        # As a folder to look into: what lies in there to point to a checkout is read for folders of the interpreter's own only.
        (site / "beside.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
        return installed

    @classmethod
    def fresh(cls, python: Path, archive: Path, to: Path) -> Installed:
        """Install an archive into a new environment of another Python as anybody would: from the package index, by ranges."""
        subprocess.run([python, "-m", "venv", to], check=True, timeout=INSTALL_TIMEOUT_S)
        installed = cls(to)
        installed.pip("install", archive)
        return installed

    def pip(self, *arguments: str | Path) -> str:
        """Run pip for this environment; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "pip", "--python", self._python, "--disable-pip-version-check", *arguments],
            env=strangers_environment(),
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def place(self, module: str, folder: Path) -> Path:
        """Return where a module of ours comes from."""
        code = f"import {module} as found; print(found.__file__)"
        done = subprocess.run(
            [self._python, "-P", "-c", code], cwd=folder, env=strangers_environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip())

    def run(self, *arguments: str, folder: Path, code: int = 0, settings: Mapping[str, str] | None = None) -> str:
        """Run `midstream ARGUMENTS` in a folder; return what it prints."""
        done = subprocess.run(
            [self._command, *arguments], cwd=folder, env=_environment(folder, settings), capture_output=True, text=True,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def serving(self, *names: str, folder: Path, **more: str) -> Iterator[dict[str, str]]:
        """Keep `midstream serve` up in a folder for a block, on free ports; yield its settings. It has to end with exit code 0."""
        settings = {**_ports(names or tuple(SERVERS)), **more}
        log = folder / "serve.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self._command, "serve", *names], cwd=folder, env=_environment(folder, settings), stdout=output,
                stderr=output,
            )  # fmt: skip
        try:
            until(
                lambda: process.poll() is not None or "every server is up" in log.read_text(),
                what="the start",
                timeout_s=PATIENCE_S,
            )
            assert process.poll() is None, log.read_text()
            yield settings
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=PATIENCE_S) == 0, log.read_text()
        except BaseException:
            print(log.read_text())  # noqa: T201  (shown when the test fails)
            raise
        finally:
            kill(process)


def replays_the_sample(installed: Installed, folder: Path) -> None:
    """Hold a replay to the logs that are committed beside the sample."""
    (folder / "data").mkdir(exist_ok=True)
    shutil.copy(ROOT / SAMPLE, folder / SAMPLE)

    installed.run("replay", SAMPLE, "--out", "out", folder=folder)

    for name in ("mid_prices.log", "errors.log"):
        assert (folder / "out" / name).read_bytes() == (ROOT / "data" / "sample_output" / name).read_bytes()


def serves_prices_orders_and_pages(installed: Installed, folder: Path) -> None:
    """Hold the servers that start by themselves to what each of them is for."""
    with installed.serving(folder=folder, MIDSTREAM_TRADING="simulator") as settings:
        status = json.loads(installed.run("status", "--json", folder=folder, settings=settings))
        assert status["state"] in ("RUNNING", "COMPLETED"), status
        key = installed.run("keys", "create", "--role", "trade", folder=folder, settings=settings).strip()
        placed = _post(f"http://127.0.0.1:{settings['MIDSTREAM_ORDERS_WEB_PORT']}/v1/orders", key, _ORDER)
        assert placed["state"] == "NEW", placed
        _read_pages(f"http://127.0.0.1:{settings['MIDSTREAM_REPORTING_WEB_PORT']}")


def serves_the_power_desk(installed: Installed, folder: Path) -> None:
    """Hold the power desk to showing a deal that its simulated exchange made."""
    with installed.serving(*POWER, folder=folder) as settings:
        page = f"http://127.0.0.1:{settings['MIDSTREAM_REPORTING_WEB_PORT']}"
        until(lambda: _get(f"{page}/deals.csv").count(b"flex_trader_") > 0, what="a deal", timeout_s=PATIENCE_S)
        _read_pages(page)


def _environment(folder: Path, settings: Mapping[str, str] | None) -> dict[str, str]:
    return strangers_environment({"PLANTED_MARK": str(folder.parent / f"{folder.name}.mark"), **(settings or {})})


def _ports(names: tuple[str, ...]) -> dict[str, str]:
    found = {"MIDSTREAM_STRICT": "1"}
    for name in names:
        prefix, server = f"MIDSTREAM_{name.upper().replace('-', '_')}", SERVERS[name]
        found[f"{prefix}_PORT"] = str(free_port())
        if server.scheme == "grpc":
            found[f"{prefix}_METRICS_PORT"] = "0"
        if server.web:
            found[f"{prefix}_WEB_PORT"] = str(free_port())
    return found


def _read_pages(page: str) -> None:
    """Read the first page and everything that it is made of."""
    text = _get(f"{page}/").decode()
    assets = set(re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css|svg))[^"]*"', text))
    assert len(assets) > 3, text
    for asset in assets:
        assert _get(page + asset), asset


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def _post(url: str, key: str, body: Mapping[str, str]) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "idempotency-key": "first", "content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as exc:
        raise AssertionError(f"{exc.code}: {exc.read().decode()}") from exc
