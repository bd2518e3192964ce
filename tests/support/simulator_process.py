"""A simulated exchange in a process of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.attackers import limited
from tests.support.cli import PATIENCE_S, ROOT, clean_environment, until


class SimulatorProcess:
    """`python -m services.simulators.<name>` on a free port."""

    def __init__(self, name: str, directory: Path, *, open_files: int = 0, **settings: str) -> None:
        """`open_files` other than 0 is the hard limit that the process starts with."""
        self.name = name
        self.log = directory / f"sim-{name}.log"
        self._ready = directory / f"sim-{name}.ready.json"
        prefix = f"MIDSTREAM_SIM_{name.upper()}_"
        environment = {prefix + key: value for key, value in {"PORT": "0", **settings}.items()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                limited(open_files, "-m", f"services.simulators.{name}"),
                cwd=ROOT,
                env=clean_environment({**environment, "MIDSTREAM_READY_FILE": str(self._ready)}),
                stdout=log,
                stderr=log,
            )
        try:
            until(self._is_up, what=f"start of the {name} simulator")
        except BaseException:
            self.kill()
            raise
        self.port = int(json.loads(self._ready.read_text())["port"])
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"

    def _is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self._ready.exists()

    def admin(self, method: str, path: str, payload: Any = None) -> Any:
        """Ask the simulator's own page."""
        body = None if payload is None else json.dumps(payload).encode()
        request = urllib.request.Request(self.url + path, data=body, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE_S)

    def kill(self) -> None:
        """kill -9 where it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=PATIENCE_S)


@contextlib.contextmanager
def simulator_process(
    name: str, directory: Path, *, open_files: int = 0, **settings: str
) -> Iterator[SimulatorProcess]:
    """Run a simulator for the block."""
    simulator = SimulatorProcess(name, directory, open_files=open_files, **settings)
    try:
        yield simulator
    finally:
        simulator.kill()
