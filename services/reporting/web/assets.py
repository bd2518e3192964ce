"""Scripts and styles, all from this folder: the page needs no other server. Addresses carry a fingerprint and never go stale."""

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
        files = {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix in TYPES}
        whole = hashlib.blake2b(digest_size=6)
        for name, body in files.items():
            whole.update(f"{name} {len(body)} ".encode() + body)
        for name, body in files.items():
            # One fingerprint for all: a script imports its neighbours by their plain names, and gets those of its own time.
            path = f"/assets/{whole.hexdigest()}/{name}"
            self._paths[name] = path
            content_type = TYPES[Path(name).suffix]
            self._answers[path] = Answer(body=body, content_type=content_type, cache=FOREVER, etag=etag_of(body))

    def path(self, name: str) -> str:
        """Return the address of a file. Raises KeyError for one that is not there."""
        return self._paths[name]

    def get(self, path: str) -> Answer | None:
        """Return the file at an address."""
        return self._answers.get(path)
