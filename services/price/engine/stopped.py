"""What ends a sink."""

from __future__ import annotations

from services.runtime.errors import MidstreamError


class SinkStopped(MidstreamError):
    """The sink cannot go on without breaking a promise; an operator has to look. What was committed stays as it is."""


class OtherParts(SinkStopped):
    """The session has another number of partitions: what stands in Redis about its sinks is not this one's to write."""
