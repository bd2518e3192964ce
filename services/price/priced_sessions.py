"""The sessions whose mids this server gives: the one of its environment, and those that were created."""

from __future__ import annotations

from dataclasses import dataclass

from services.price.latest_mids import FollowedMids
from services.runtime.errors import FailedPrecondition, NotFound, Unavailable
from services.runtime.session.keys import check_session_name
from services.runtime.session.streamed_sessions import StreamedSessions


@dataclass
class PricedSession:
    """One session. `mids` is None when the mids stream is off."""

    session: str
    mids: FollowedMids | None
    committed_sequence: int = 0
    """The last sequence that its sink reported."""

    @property
    def followed(self) -> FollowedMids:
        """Its mids. Raises FailedPrecondition and Unavailable where they are not to be had."""
        if self.mids is None:
            raise FailedPrecondition("the mids stream is off (MIDSTREAM_MIDS=off); start the price server with it on")
        if not self.mids.latest.ready:
            raise Unavailable("the mids stream has not been read yet; try again")
        return self.mids


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
