"""Which files a created session may read: those below the directories that the operator allowed, wherever links lead."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from services.runtime.errors import InvalidRequest, PermissionDenied

FILES_MAX: Final = 1_000
"""Files of one session, named or found by a pattern."""
NAME_BYTES_MAX: Final = 4_096


class AllowedFiles:
    """Finds files by the names that callers give them.

    A relative name is looked for below each directory, in their order. A link may lead to another place below one of them, and nowhere
    else. Whether a file is there, and can be read, is the engine's to find out: it says so in the session's state.
    """

    def __init__(self, directories: Iterable[Path]) -> None:
        self._directories = tuple(dict.fromkeys(Path(os.path.abspath(directory)) for directory in directories))
        self._real = tuple(os.path.realpath(directory) for directory in self._directories)

    def resolve(self, names: Sequence[str], *, field: str) -> list[str]:
        """Return absolute names of the files, patterns expanded, in the order given and sorted within a pattern.

        Raises InvalidRequest for what can be no name, PermissionDenied for a file elsewhere.
        """
        found = [path for name in names for path in self._resolve_one(name, field)]
        if len(found) > FILES_MAX:
            raise InvalidRequest(field, f"must be at most {FILES_MAX} files (got {len(found)})")
        return found

    def _resolve_one(self, name: str, field: str) -> list[str]:
        if not name or "\0" in name or len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
            raise InvalidRequest(
                field, f"must be names of 1 to {NAME_BYTES_MAX} bytes without a NUL (got {_shown(name)})"
            )
        if ".." in Path(name).parts:
            raise InvalidRequest(field, f"must not lead upwards with `..` (got {_shown(name)})")
        if not self._directories:
            raise PermissionDenied(
                f"`{field}`: no directory is allowed; set MIDSTREAM_DATA of the replay server to those with recorded files"
            )
        paths = [path for candidate in self._candidates(name) for path in _expand(candidate)]
        if not paths:
            # Nothing is there yet: where it would be is what the engine will not find.
            paths = [self._candidates(name)[0]]
        if not os.path.isabs(name) and not glob.has_magic(name):
            paths = [next((path for path in paths if os.path.lexists(path)), paths[0])]
        for path in paths:
            self._check(path, name, field)
        return paths

    def _candidates(self, name: str) -> list[str]:
        if os.path.isabs(name):
            return [os.path.normpath(name)]
        return [os.path.join(directory, os.path.normpath(name)) for directory in self._directories]

    def _check(self, path: str, name: str, field: str) -> None:
        real = os.path.realpath(path)
        if not any(os.path.commonpath((real, root)) == root for root in self._real):
            raise PermissionDenied(
                f"`{field}`: {_shown(name)} is not below a directory that the operator allowed (MIDSTREAM_DATA of the replay server)"
            )


def directories_of(patterns: Iterable[str]) -> list[Path]:
    """Return the directories that hold what `patterns` name, above the first wildcard."""
    found = []
    for pattern in patterns:
        directory = Path(pattern).parent
        while glob.has_magic(str(directory)):
            directory = directory.parent
        found.append(directory)
    return found


def _expand(candidate: str) -> list[str]:
    if glob.has_magic(candidate) and not os.path.lexists(candidate):
        return sorted(glob.glob(candidate, recursive=True))
    return [candidate]


def _shown(name: str) -> str:
    return repr(name if len(name) <= 200 else name[:197] + "...")
