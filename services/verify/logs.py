"""A log as it is, read along with what it has to be."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType

from services.verify.run import NotVerifiable

LINE_BYTES_MAX = 4096
"""Of a line that differs."""


class Log:
    """Compares one file with the lines that it has to have, up to the first one that differs."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises NotVerifiable."""
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise NotVerifiable(
                f"{path} cannot be read ({error.strerror or error}); bring it back, or replay again with --overwrite"
            ) from error
        self._right = hashlib.sha256()
        self._differs = False
        self.name = path.name
        self.lines = 0

    def expect(self, line: str) -> str | None:
        """Compare the next line; return what stands there where it is the first that differs, empty when the file has ended."""
        wanted = line.encode()
        self._right.update(wanted)
        if self._differs:
            return None
        self.lines += 1
        found = self._file.read(len(wanted))
        if found == wanted:
            return None
        self._differs = True
        self._file.seek(-len(found), 1)
        return self._file.readline(LINE_BYTES_MAX).decode(errors="replace")

    def has_more(self) -> bool:
        """Tell whether something stands behind the last line."""
        return not self._differs and bool(self._file.read(1))

    def hexdigest(self) -> str:
        """Return the SHA-256 of what the file has to be."""
        return self._right.hexdigest()

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
