"""JSON that somebody else wrote: whatever is wrong with it is one short ValueError."""

from __future__ import annotations

import json
from typing import Any, Final

_REASON_CHARACTERS_MAX: Final = 200


def read_json(text: str | bytes, **hooks: Any) -> Any:
    """Return the document of `text`. Raises ValueError, also for what `json.loads` meets with other errors; `hooks` are its own."""
    try:
        return json.loads(text, **hooks)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError as exc:
        # Python's own error carries the whole text along, into every message that it is quoted in.
        raise ValueError(f"it is no {exc.encoding.upper()} at byte {exc.start}") from None


def short_reason(error: BaseException) -> str:
    """Return what an error says, bounded: it may quote a value of any length."""
    return f"{type(error).__name__}: {error}"[:_REASON_CHARACTERS_MAX]
