"""Tell an outage of the database from a mistake of ours, in one place for everybody."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from clients.database.tls import TlsTrouble

__all__ = ["DatabaseRefused", "DatabaseUnavailable", "is_unavailable", "opening", "outage_in_words", "outages_as"]

_UNAVAILABLE: Final = (
    "database is locked",
    "database or disk is full",
    "disk i/o error",
    "unable to open database file",
    "attempt to write a readonly database",
    "connection is closed",
    "connection was closed",
    "cannot perform operation",
    "the database system is",
    "terminating connection",
    "too many connections",
    "too many clients",
    "connection refused",
    "connection reset",
    "no space left",
)
"""What drivers say when the database, and not the statement, is the trouble."""
REASON_MAX: Final = 200
"""Characters of a driver's text that are shown: some repeat the whole statement."""


_LASTING: Final = ("unable to open database file", "attempt to write a readonly database")
"""Those among them that somebody has to mend: a name, a right."""


class DatabaseUnavailable(Exception):
    """The database is gone, locked or full: the same statement may succeed later. The text is one line; the cause has the rest."""

    def __init__(self, error: Exception) -> None:
        self.kind: str = type(error).__name__
        """Class of the driver's error, for texts that strangers see."""
        self.reason: str = _first_line(error)
        """The driver's own words, for the operator."""
        self.lasts: bool = any(phrase in self.reason.lower() for phrase in _LASTING)
        """Whether waiting alone is not likely to help."""
        lines = str(error).splitlines()
        super().__init__(f"{self.kind}: {lines[0][:REASON_MAX]}" if lines else self.kind)


class DatabaseRefused(Exception):
    """The database does not let us in like this, or is none: a name, a password, a right or the file has to be mended."""


@contextmanager
def opening() -> Iterator[None]:
    """Around the first use of a database: raise DatabaseUnavailable where waiting may be all that it takes, else DatabaseRefused."""
    try:
        with outages_as(DatabaseUnavailable):
            yield
    except DatabaseUnavailable as exc:
        if isinstance(exc.__cause__, TlsTrouble):
            raise DatabaseRefused(str(exc.__cause__)) from exc
        raise
    except (SQLAlchemyError, OSError) as exc:
        raise DatabaseRefused(_first_line(exc)) from exc


def _first_line(error: BaseException) -> str:
    """Return what a driver says in one line: the library adds advice on lines of its own, and some repeat the statement."""
    lines = str(getattr(error, "orig", None) or error).splitlines()
    # `<class 'driver.Error'>: text` is how one of them quotes another.
    text = lines[0].partition(">: ")[2] or lines[0] if lines else ""
    return text[:REASON_MAX] or type(error).__name__


@contextmanager
def outages_as(
    error: Callable[[Exception], Exception], *, besides: Callable[[Exception], bool] | None = None
) -> Iterator[None]:
    """Raise `error(exc)` for an outage of the database inside the block, which may await; everything else passes unchanged.

    `besides` names further errors that count as an outage where the block stands.
    """
    try:
        yield
    except Exception as exc:
        # Every class: drivers, pool and system raise classes of their own, and only `is_unavailable` tells which of them pass by
        # waiting. A cancellation is no Exception and never comes here.
        if not is_unavailable(exc) and not (besides is not None and besides(exc)):
            raise
        raise error(exc) from exc


def outage_in_words(error: BaseException) -> str:
    """Say for callers what the trouble is, without the driver's own words."""
    if isinstance(error, PoolTimeoutError):
        return "as many calls as it has connections keep the database busy; try again in a moment"
    return f"the database does not answer ({type(error).__name__}); try again in a moment"


def is_unavailable(error: BaseException) -> bool:
    """Whether the database is gone, locked or full, so that the same statement may succeed later."""
    if isinstance(
        error, (ConnectionError, TimeoutError, PoolTimeoutError, DatabaseUnavailable, TlsTrouble, socket.gaierror)
    ):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, (OperationalError, InterfaceError, OSError, DBAPIError)) or _is_a_drivers(error):
        text = str(getattr(error, "orig", None) or error).lower()
        return any(phrase in text for phrase in _UNAVAILABLE)
    return False


def _is_a_drivers(error: BaseException) -> bool:
    """Whether it comes from a driver itself. That of Postgres goes by its name: most processes never import it."""
    return isinstance(error, sqlite3.Error) or type(error).__module__.partition(".")[0] == "asyncpg"
