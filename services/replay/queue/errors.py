"""Errors that end a call of the publisher, by what the engine does next."""

from __future__ import annotations

from services.runtime.errors import MidstreamError, StartRefused


class SessionTaken(StartRefused):
    """Another live producer holds the session; exit 2."""


class RedisRefused(StartRefused):
    """This Redis must not be trusted with the queue, or does not let us in; exit 2."""


class Fenced(MidstreamError):
    """Another producer took the session over; nothing of ours can be appended any more; exit 1."""


class QueueLost(MidstreamError):
    """The queue is not what was acknowledged (or the fence is gone); adopt again and reposition."""


class Stopped(MidstreamError):
    """`stopping` was set while waiting; nothing needs to be undone."""


class NotYet(MidstreamError):
    """Something has to happen before anything may be appended; adopt again."""
