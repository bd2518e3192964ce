"""One log line for each call that may change something: who made it, what it was about, how it ended and how long it took."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from services.runtime.access.current import identity_or_none
from services.runtime.access.roles import METHODS, Role
from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)

_noted: ContextVar[dict[str, Any] | None] = ContextVar("midstream_noted", default=None)


def changes_state(row: str) -> bool:
    """Tell whether calls of a row of the table of roles get a line: all that need more than the right to read.

    Taking the audit trail with one is no change, and still worth knowing about.
    """
    return METHODS.get(row, Role.READ) is not Role.READ


def note(**values: object) -> None:
    """Say what the call being handled is about, for its line: ids and states, never a secret or a whole request. Harmless elsewhere."""
    noted = _noted.get()
    if noted is not None:
        noted.update(values)


def begin_change(path: str, face: str) -> Callable[[str | int], None] | None:
    """Begin a call of `/package.Service/Method`; return what is told its code at the end, None where it gets no line."""
    method = path.lstrip("/")
    if not changes_state(method):
        return None
    noted: dict[str, Any] = {}
    _noted.set(noted)
    begun_s = time.perf_counter()

    def end(code: str | int) -> None:
        identity = identity_or_none()
        logger.info(
            "state-changing call",
            extra=fields(
                method=method,
                face=face,
                caller="anonymous" if identity is None else identity.name,
                caller_kind=None if identity is None else identity.kind,
                caller_id=identity.subject or None if identity is not None else None,
                owner=None if identity is None else identity.owner,
                code=code,
                duration_ms=round((time.perf_counter() - begun_s) * 1e3, 3),
                **{name: value for name, value in noted.items() if value not in (None, "")},
            ),
        )

    return end
