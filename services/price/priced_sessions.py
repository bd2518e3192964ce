"""The sessions whose mids this server gives: the one of its environment, and those that were created."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.price.latest_mids import FollowedMids
from services.runtime.errors import FailedPrecondition, InvalidRequest, NotFound, Unavailable
from services.runtime.session.keys import check_session_name
from services.runtime.session.partitions import Partitioning
from services.runtime.session.streamed_sessions import StreamedSessions


@dataclass
class PricedSession:
    """One session, or one of its partitions. `mids` is None when the mids stream is off."""

    session: str
    mids: FollowedMids | None
    committed_sequence: int = 0
    """The last sequence that its sink reported."""
    partition: int = 0
    partitioning: Partitioning = field(default_factory=Partitioning)
    parts: tuple[PricedSession, ...] = ()
    """Of a session of several partitions, which has neither mids nor numbers of its own."""

    @property
    def followed(self) -> FollowedMids:
        """Its mids. Raises FailedPrecondition and Unavailable where they are not to be had."""
        if self.mids is None:
            raise FailedPrecondition("the mids stream is off (MIDSTREAM_MIDS=off); start the price server with it on")
        if not self.mids.latest.ready:
            raise Unavailable("the mids stream has not been read yet; try again")
        return self.mids

    def of_ticker(self, ticker: str) -> PricedSession:
        """Return the part whose mids a ticker's are among."""
        return self.parts[self.partitioning.of_ticker(ticker)] if self.parts else self

    def chosen(self, partition: int | None) -> tuple[PricedSession, ...]:
        """Return the part of this number, or all of them. Raises InvalidRequest where there is none of it."""
        parts = self.parts or (self,)
        if partition is None:
            return parts
        if partition >= len(parts):
            raise InvalidRequest(
                "partition",
                f"must be one of 0 to {len(parts) - 1}, which session `{self.session}` has (got {partition})"
                if self.parts
                else f"must be 0 or absent: session `{self.session}` has one partition (got {partition})",
            )
        return (parts[partition],)

    def become(self, known: PricedSession) -> None:
        """Be what has become known of it; whoever holds this sees it."""
        self.mids, self.partitioning, self.parts = known.mids, known.partitioning, known.parts


class PricedSessions:
    """Finds sessions by their names; `created` is kept by whoever runs their sinks."""

    def __init__(self, own: PricedSession) -> None:
        self.own = own
        self.created: dict[str, PricedSession] = {}
        self.streamed = StreamedSessions()

    def find(self, session: str) -> PricedSession:
        """Return a session by its name, the server's own by none. Raises InvalidRequest and NotFound."""
        name = check_session_name(session) if session else self.own.session
        if name == self.own.session:
            return self.own
        priced = self.created.get(name)
        if priced is None:
            others = f" and {len(self.created)} that were created" if self.created else ""
            raise NotFound(
                f"session `{name}` is not served here; this server prices session `{self.own.session}`{others}"
            )
        return priced
