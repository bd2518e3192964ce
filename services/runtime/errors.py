"""Errors by who must act: the caller, the operator, or us."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import ClassVar, Final

Metadata = Sequence[tuple[str, str | bytes]]


class MidstreamError(Exception):
    """Root of every error of ours.

    `metadata` travels to a gRPC caller as trailing metadata (machine-readable figures beside the sentence).
    """

    def __init__(self, message: str, *, metadata: Metadata = ()) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = tuple(metadata)

    def __str__(self) -> str:
        return self.message


class InvalidRequest(MidstreamError):
    """The caller sent a field with an unusable value."""

    def __init__(self, field: str, problem: str, *, metadata: Metadata = ()) -> None:
        super().__init__(f"`{field}` {problem}", metadata=metadata)
        self.field = field
        self.problem = problem


class NotFound(MidstreamError):
    """The caller named something that does not exist."""


class AlreadyExists(MidstreamError):
    """The caller wants to create what is there already."""


class FailedPrecondition(MidstreamError):
    """The request is fine, the state of the system is not; retrying alone does not help."""


class OutOfRange(MidstreamError):
    """The caller asked for a position that is not available (any more)."""


class ResourceExhausted(MidstreamError):
    """A limit was reached: the caller is too slow or asks for too much."""


class Overloaded(ResourceExhausted):
    """More is under way than there may be. Raised for call after call under a flood: whoever raises it says so in the log now and then."""


class Unauthenticated(MidstreamError):
    """The caller did not say who it is, or cannot prove it."""


class PermissionDenied(MidstreamError):
    """The caller is known and may not do this."""


class DeadlineExceeded(MidstreamError):
    """The outcome did not arrive in time; it may still arrive."""


class Unavailable(MidstreamError):
    """A dependency is gone; the operator must act, the caller may retry with backoff."""


class StartRefused(MidstreamError):
    """The process will not start like this; the message names the fix, the exit code is 2."""

    exit_code: ClassVar[int] = 2


class StartPostponed(StartRefused):
    """The process cannot start now, and waiting may be all that it takes; the exit code is the system's for "try again"."""

    exit_code: ClassVar[int] = os.EX_TEMPFAIL


_PASSING: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.ENOBUFS, errno.EMFILE, errno.ENFILE),
        *(errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
    }
)
"""What the system says when it lacks room at the moment, or a disk is away."""


def is_passing(exc: OSError) -> bool:
    """Tell whether the same call may succeed later without a change of what was asked for."""
    return exc.errno in _PASSING


def cannot_start(exc: OSError, message: str) -> StartRefused:
    """Return the error for a start that failed at the system: postponed where waiting may be all that it takes."""
    return StartPostponed(message) if is_passing(exc) else StartRefused(message)


class Bug(MidstreamError):
    """A promise of our own was broken; the text stays in the log."""
