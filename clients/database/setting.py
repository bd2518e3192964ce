"""The type of a setting that names a database."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from clients.database.engine import placed_url
from clients.database.tls import PostgresTls

__all__ = ["DatabaseUrl"]


def _usable(value: str) -> str:
    url = placed_url(value)
    if url.drivername.startswith("postgresql"):
        PostgresTls.of(url).check_files()
    return value


DatabaseUrl = Annotated[str, AfterValidator(_usable)]
"""sqlite:///path/to/file.db or postgresql://user:password@host/database, refused with a sentence that names both.
A file has to be on a disk of this machine."""
