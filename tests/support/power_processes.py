"""The power desk's processes as tests see them: started, killed, asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.support.cli import PATIENCE_S, ROOT, clean_environment
from tests.support.waiting import wait_until

__all__ = ["PowerProcess", "listener_settings"]


class PowerProcess:
    """One `python -m services.<module>`; keywords are settings without their prefix."""

    def __init__(self, module: str, directory: Path, **settings: str) -> None:
        self.module = module
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / f"{module}.log"
        self._ready = directory / f"{module}.{time.monotonic_ns()}.ready.json"
        environment = {f"MIDSTREAM_{name}": value for name, value in settings.items()}
        environment["MIDSTREAM_READY_FILE"] = str(self._ready)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"services.{module}"],
                cwd=ROOT,
                env=clean_environment(environment),
                stdout=log,
                stderr=log,
            )

    def wait_ready(self) -> dict[str, Any]:
        """Wait until it serves; return its ports."""

        def up() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self._ready.exists()

        wait_until(up, timeout_s=PATIENCE_S, what=f"start of {self.module}")
        found: dict[str, Any] = json.loads(self._ready.read_text())
        return found

    def metrics(self) -> dict[str, float]:
        """Return its figures without labels."""
        url = f"http://127.0.0.1:{self.wait_ready()['metrics_port']}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            lines = answer.read().decode().splitlines()
        pairs = [line.split() for line in lines if not line.startswith("#") and "{" not in line]
        return {name: float(value) for name, value in pairs}

    def kill(self) -> None:
        """kill -9."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=PATIENCE_S)

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE_S)


def listener_settings(directory: Path, *, power_url: str, database_url: str = "") -> dict[str, str]:
    """Return the settings of a listener that bothers nobody else."""
    return {
        "POWER_URL": power_url,
        "DATABASE_URL": database_url or f"sqlite:///{directory}/power.db",
        "POWER_SPOOL": str(directory / "spool"),
        "POWER_LISTENER_PORT": "0",
        "POWER_LISTENER_METRICS_PORT": "0",
    }
