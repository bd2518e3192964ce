"""A folder full of files that have the names of our packages and of those that we import."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PACKAGES: Final = ("services", "protos", "clients", "fastpath")
MODULES: Final = (
    "redis", "grpc", "websockets", "structlog", "orjson", "pydantic", "sqlalchemy", "fastapi", "uvicorn",
    "json", "asyncio", "logging", "ctypes", "signal", "site", "sitecustomize", "usercustomize",
)  # fmt: skip
MARK: Final = "import os, sys; open(os.environ['PLANTED_MARK'], 'a').write(f'{__file__} {sys.argv}\\n')\n"


class PlantedFolder:
    """A folder as an attacker, or an honest project of the same names, would fill it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mark = path.parent / f"{path.name}.mark"
        path.mkdir()
        for package in PACKAGES:
            (path / package).mkdir()
            (path / package / "__init__.py").write_text(MARK)
        for module in MODULES:
            (path / f"{module}.py").write_text(MARK)

    @property
    def ran(self) -> list[str]:
        """What was executed."""
        return self.mark.read_text().splitlines() if self.mark.exists() else []
