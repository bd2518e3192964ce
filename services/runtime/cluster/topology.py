"""What a client knows of its cluster: nodes to ask, the table of slots, and that it is out of date."""

from __future__ import annotations

from typing import Any, Final

import redis
from redis.exceptions import AskError, ResponseError

from services.runtime.cluster.slots import (
    Address,
    Elsewhere,
    NotACluster,
    Slots,
    addresses,
    is_elsewhere,
    moved_to,
    nodes_in,
)

NODES_MAX: Final = 1_024
"""Known nodes are asked one after the other."""


class Topology:
    """The table of slots, or None where it has to be asked for. Sends nothing itself."""

    def __init__(self, url: str) -> None:
        """Begin with the nodes that the URL names; raises ValueError when it names none."""
        self.url = url
        self._named = addresses(url)
        self.known: list[Address] = list(self._named)
        """Whom to ask, in this order: those that did not answer last are at the end."""
        self.slots: Slots | None = None

    def learn(self, reply: Any, asked: Address) -> Slots:
        """Take over an answer to CLUSTER SLOTS."""
        self.slots = Slots.parse(reply, asked)
        found = nodes_in(reply, asked)
        # Who was named stays known, behind the others: all nodes may be replaced one by one.
        self.known = list(dict.fromkeys([asked, *found, *self._named]))[:NODES_MAX]
        return self.slots

    def forget(self) -> None:
        """Ask again before the next command."""
        self.slots = None

    def last(self, address: Address) -> None:
        """Ask this one after all others: it did not answer."""
        if address in self.known:
            self.known.remove(address)
            self.known.append(address)

    def owner(self, slots: Slots, slot: int) -> Address:
        """Return the primary of a slot; raises Elsewhere when it has none."""
        found = slots.owner(slot)
        if found is None:
            self.forget()
            raise Elsewhere(f"slot {slot} has no primary")
        return found

    def refused(self, address: Address, error: ResponseError) -> Exception:
        """Return what to raise for a node that does not answer CLUSTER SLOTS."""
        if "cluster support disabled" in str(error):
            return NotACluster(
                f"Redis at {address} is not a node of a cluster: write redis:// instead of redis+cluster://"
            )
        return error

    def turned_away(self, error: Exception, asked: Address) -> Address | None:
        """Note what an error says of the table, and return where MOVED or ASK sends us; None for all others."""
        if isinstance(error, AskError):
            target = moved_to(error, asked)
            if target not in self.known:
                self.known.append(target)
            if isinstance(error, redis.exceptions.MovedError):
                self.forget()
            return target
        if isinstance(error, (redis.ConnectionError, redis.TimeoutError, OSError)):
            self.forget()
            self.last(asked)
        elif is_elsewhere(error):
            self.forget()
        return None
