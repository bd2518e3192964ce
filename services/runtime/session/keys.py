"""Names of everything that a session keeps in Redis."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.runtime.errors import InvalidRequest

SESSIONS: Final = "midstream:sessions"
"""Set of the names of all sessions."""
DEFINED: Final = "midstream:sessions:defined"
"""Set of the names of those that were created, and DEFINED_IS_KEPT."""
DEFINED_IS_KEPT: Final = b""
"""In the set for good from the first session on: without it Redis has lost the set, and nobody deleted what was in it."""

READER_GROUP_PREFIX: Final = "reader-"
"""Consumer groups of subscribers that a session waits for begin so (services/runtime/session/hold.py)."""
READER_LEASE_S: Final = 30.0
"""How long the producer waits for one of these that no server touches: a reader that is dead holds nobody up for longer."""

_SESSION_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def check_session_name(name: str, *, field: str = "session") -> str:
    """Return `name`; raise InvalidRequest when it cannot be part of a key."""
    if _SESSION_NAME.fullmatch(name) is None:
        shown = name if len(name) <= 80 else name[:77] + "..."
        raise InvalidRequest(field, f"must be 1 to 64 characters of A-Z a-z 0-9 . _ - (got {shown!r})")
    return name


def session_names(members: Iterable[bytes]) -> list[str]:
    """Return the names in the set of all sessions, in order. What no session can be called is somebody else's, and left out."""
    return sorted(name for member in members if _SESSION_NAME.fullmatch(name := member.decode("utf-8", "replace")))


@dataclass(frozen=True)
class SessionKeys:
    """The keys of one session and partition; the braces keep them in one slot of a Redis Cluster."""

    session: str
    partition: int = 0

    def __post_init__(self) -> None:
        check_session_name(self.session)
        if self.partition < 0:
            raise InvalidRequest("partition", f"must not be negative (got {self.partition})")

    def _of_partition(self, name: str) -> str:
        return f"midstream:{{{self.session}/{self.partition}}}:{name}"

    def _of_session(self, name: str) -> str:
        return f"midstream:{{{self.session}}}:{name}"

    @property
    def ticks(self) -> str:
        """Stream of TickBatch, ids 0-<first sequence>."""
        return self._of_partition("ticks")

    @property
    def mids(self) -> str:
        """Stream of MidBatch, ids 0-<first sequence of its TickBatch>."""
        return self._of_partition("mids")

    @property
    def latest(self) -> str:
        """Hash ticker -> packed latest mid."""
        return self._of_partition("latest")

    @property
    def fence(self) -> str:
        """Token of the current producer."""
        return self._of_partition("fence")

    @property
    def lease(self) -> str:
        """Sign of life of the current producer."""
        return self._of_partition("lease")

    @property
    def checkpoint(self) -> str:
        """Hash: where the producer stands."""
        return self._of_partition("checkpoint")

    @property
    def effects(self) -> str:
        """Stream of effects, ids 0-<number>; written with the checkpoint, so it has to be in its slot."""
        return self._of_partition("effects")

    @property
    def order(self) -> str:
        """Hash: what the records so far come to, written with them; only where proofs of the order are made."""
        return self._of_partition("order")

    @property
    def sinks(self) -> str:
        """Hash sink name -> announcement of its committed position."""
        return self._of_partition("sinks")

    @property
    def sink_fences(self) -> str:
        """In sessions of several partitions: hash sink name -> token of the engine that works through the partition for it."""
        return self._of_partition("sink_fences")

    def sink_lease(self, sink: str) -> str:
        """Sign of life of that engine; it ends by itself."""
        return self._of_partition(f"sink_lease:{sink}")

    @property
    def watermark(self) -> str:
        """In sessions of several partitions: up to which arrival time everything is in the stream."""
        return self._of_partition("watermark")

    @property
    def control(self) -> str:
        """Stream of intents, the control journal."""
        return self._of_session("control")

    @property
    def requests(self) -> str:
        """Sorted set of request ids, scored by the revision that each got."""
        return self._of_session("requests")

    @property
    def intended(self) -> str:
        """Hash: what the journal adds up to."""
        return self._of_session("intended")

    @property
    def definition(self) -> str:
        """JSON: what CreateSession was given; not there for a session that was made of the environment."""
        return self._of_session("definition")

    @property
    def logs(self) -> str:
        """Hash sink name -> directory of its logs; a sink is in it from before it starts until after it has ended."""
        return self._of_session("logs")

    @property
    def subscribed(self) -> str:
        """There while somebody streams a created session, and a little longer."""
        return self._of_session("subscribed")

    @property
    def partitions(self) -> str:
        """JSON: in how many parts the ticks are published, and which tickers were given one; not there where it is one part."""
        return self._of_session("partitions")

    @property
    def owners(self) -> str:
        """Hash owner -> JSON of it: the servers that share the partitions of a session, dead ones too until another has noticed."""
        return self._of_session("owners")

    @property
    def state(self) -> str:
        """JSON: the state the engine is in."""
        return self._of_session("state")

    @property
    def partition_state(self) -> str:
        """JSON: the state that the engine of one of several partitions is in."""
        return self._of_partition("state")

    def report_of(self, partitions: int) -> str:
        """Return the key that the engine of this partition reports to, of a session of so many."""
        return self.state if partitions == 1 else self.partition_state

    @property
    def by_slot(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Everything, as it lies in a cluster: what is of the partition, and what is of the session."""
        ours = tuple(key for key in self.everything if key.startswith(self._of_partition("")))
        return ours, tuple(key for key in self.everything if key not in ours)

    @property
    def everything(self) -> tuple[str, ...]:
        """Every key that a session may have."""
        named = (name for name, value in vars(SessionKeys).items() if isinstance(value, property))
        return tuple(getattr(self, name) for name in named if name not in ("everything", "by_slot"))
