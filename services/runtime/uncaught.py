"""Have everything that Python would print on stderr by itself logged instead: what nobody caught, and warnings."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, TextIO

from services.runtime.log_fields import fields

logger = logging.getLogger(__name__)


def log_uncaught() -> None:
    """Log what ends the process or one of its threads, what finalizers raise, and Python's warnings; once per process.

    What tasks raise and nobody asks for is logged by asyncio.
    """
    sys.excepthook = _on_exception
    threading.excepthook = _on_thread
    sys.unraisablehook = _on_unraisable
    warnings.showwarning = _on_warning


def _on_exception(kind: type[BaseException], exc: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        # Somebody pressed Ctrl-C: no news to anybody.
        logger.info("interrupted")
        return
    logger.critical("exception ends the process", exc_info=(kind, exc, traceback))


def _on_thread(raised: Any) -> None:
    if raised.exc_type is SystemExit:
        return
    exc = raised.exc_value if raised.exc_value is not None else raised.exc_type()
    logger.error(
        "exception ends a thread",
        exc_info=(raised.exc_type, exc, raised.exc_traceback),
        extra=fields(thread=raised.thread.name if raised.thread is not None else None),
    )


def _on_unraisable(raised: Any) -> None:
    exc = raised.exc_value if raised.exc_value is not None else raised.exc_type()
    logger.error(
        "exception where nobody can catch it",
        exc_info=(raised.exc_type, exc, raised.exc_traceback),
        extra=fields(where=raised.err_msg, of=repr(raised.object)[:200]),
    )


def _on_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del line
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno))
        return
    logger.warning(
        "python warns", extra=fields(message=str(message), category=category.__name__, file=filename, line=lineno)
    )
