"""Where the logs of created sessions are: OUT/SESSION, one session after another under the same name kept apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from services.runtime.errors import FailedPrecondition
from services.runtime.private_files import private_directory

_PRIVATE: Final = ".midstream"
_MARK: Final = "session"
"""Holds when the session was created whose logs are in the folder."""


def log_folder(out: Path, session: str, created_time_ns: int) -> Path:
    """Return the folder of a session, made if need be. That of an earlier session of the name becomes SESSION~ITS_CREATION.

    Raises FailedPrecondition for a folder that is somebody else's, and OSError.
    """
    folder = out / session
    mark = folder / _PRIVATE / _MARK
    if folder.exists() or folder.is_symlink():
        owner = _read(mark)
        if owner == str(created_time_ns):
            return folder
        if not owner:
            if folder.is_symlink() or not folder.is_dir() or not _is_empty(folder):
                raise FailedPrecondition(
                    f"`{folder}` is there and holds no logs of a session; move it away, or create the session under another name"
                )
        else:
            # A tilde is in no session's name.
            folder.rename(out / f"{session}~{owner}")
    folder.mkdir(parents=True, exist_ok=True)
    private_directory(mark.parent)
    unfinished = mark.with_suffix(".tmp")
    unfinished.write_text(f"{created_time_ns}\n", encoding="ascii")
    unfinished.replace(mark)
    return folder


def _is_empty(folder: Path) -> bool:
    """Tell whether there is nothing in it, or what is left of a start that was cut short."""
    left = {_PRIVATE, f"{_PRIVATE}/{_MARK}.tmp"}
    return all(str(path.relative_to(folder)) in left for path in folder.rglob("*"))


def _read(mark: Path) -> str:
    try:
        text = mark.read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return ""
    return text if text.isdigit() else ""
