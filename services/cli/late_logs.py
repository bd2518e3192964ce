"""Log lines of a command: in the shape of the servers' lines, set up when there is the first."""

from __future__ import annotations

import logging
import os
from typing import Final

FORMS: Final = ("auto", "json", "console")


def log_when_needed() -> None:
    """Have the first record set up logging; most commands log nothing, and need not wait for what that takes."""
    logging.getLogger().handlers[:] = [_First()]


class _First(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from services.runtime.logs import LogOptions, configure_logs

        # Settings are validated where they are used; a word that is none must not cost the line here.
        form = os.environ.get("MIDSTREAM_LOG_FORMAT", "auto")
        configure_logs(
            "midstream",
            LogOptions(
                level="warning",
                form=form if form in FORMS else "auto",
                stage=os.environ.get("MIDSTREAM_STAGE", ""),
            ),
        )
        logging.getLogger(record.name).handle(record)
