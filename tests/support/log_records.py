"""What was logged, as event and fields."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from clients.logs import fields_of


def said(records: Iterable[logging.LogRecord]) -> list[tuple[str, dict[str, Any]]]:
    """Return the event and the fields of each record."""
    return [(record.getMessage(), dict(fields_of(record))) for record in records]
