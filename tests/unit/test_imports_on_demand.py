"""A process starts without waiting for libraries that it may never use: what the first import of each must not bring with it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

import pytest

from tests.support.cli import ROOT

DATABASE: Final = ("sqlalchemy", "alembic", "mako", "pygments", "aiosqlite", "asyncpg", "clients.database")
EXCHANGES: Final = ("httpx2", "tenacity", "clients.exchanges.base", "clients.exchanges.registry")
PAGES: Final = ("fastapi", "jinja2", "xlsxwriter")
SERVERS: Final = ("grpc", "google.protobuf", "uvicorn", "starlette", "h11")
COMMANDS: Final = ("typer", "rich", "services.cli")
EXTRAS: Final = ("boto3", "jwt", "numpy")

NOT_NEEDED: Final = {
    "services.cli.replay_command": (*DATABASE, *EXCHANGES, *PAGES, *SERVERS, *EXTRAS),
    "services.cli.serve_command": (*DATABASE, *EXCHANGES, *PAGES, *EXTRAS, "uvicorn", "starlette"),
    "services.replay.engine.main": (*DATABASE, *EXCHANGES, *PAGES, *SERVERS, *COMMANDS, *EXTRAS, "pydantic"),
    "services.price.engine.main": (*DATABASE, *EXCHANGES, *PAGES, *SERVERS, *COMMANDS, *EXTRAS, "pydantic"),
    "services.replay.server": (*DATABASE, *EXCHANGES, *PAGES, *COMMANDS, *EXTRAS),
    "services.control.server": (*DATABASE, *EXCHANGES, *PAGES, *COMMANDS, *EXTRAS),
    "services.price.server": (*DATABASE, *EXCHANGES, *PAGES, *COMMANDS, *EXTRAS),
    "services.health.server": (*DATABASE, *EXCHANGES, *PAGES, *COMMANDS, *EXTRAS),
    "services.reporting.server": ("alembic", "mako", "pygments", "fastapi", *EXCHANGES, *COMMANDS, *EXTRAS),
    "services.orders.server": ("alembic", "mako", "pygments", "jinja2", "xlsxwriter", *COMMANDS, *EXTRAS),
}
"""By what is imported: names of modules, which say the same on every machine, and no times."""


@pytest.mark.cases(4)
@pytest.mark.parametrize("module", NOT_NEEDED)
def test_what_is_not_needed_is_not_imported(module: str) -> None:
    program = (
        f"import importlib, json, sys; importlib.import_module({module!r}); print(json.dumps(sorted(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert sorted({*NOT_NEEDED[module]} & {*json.loads(done.stdout)}) == []
