"""Scripts and styles, all from this folder: the page needs no other server. Names carry a fingerprint and never go stale."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from services.reporting.web.http import FOREVER, Answer, etag_of

__all__ = ["Assets"]

FOLDER: Final = Path(__file__).resolve().parent / "assets"
TYPES: Final = {
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}


class Assets:
    """Everything is read once, at start; a request never touches the disk, so there is no path to escape from."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._answers: dict[str, Answer] = {}
        self._paths: dict[str, str] = {}
        for file in sorted(folder.iterdir()):
            content_type = TYPES.get(file.suffix)
            if content_type is None:
                continue
            body = file.read_bytes()
            path = f"/assets/{hashlib.blake2b(body, digest_size=6).hexdigest()}/{file.name}"
            self._paths[file.name] = path
            self._answers[path] = Answer(body=body, content_type=content_type, cache=FOREVER, etag=etag_of(body))

    def path(self, name: str) -> str:
        """Return the address of a file. Raises KeyError for one that is not there."""
        return self._paths[name]

    def get(self, path: str) -> Answer | None:
        """Return the file at an address."""
        return self._answers.get(path)
