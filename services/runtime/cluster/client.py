"""A client of a cluster for threads that is a client of one Redis to whoever uses it.

Why not redis-py's own: its pipelines send again what a lost connection may have executed, whatever its `retry` says, and what it
raises when nobody answers is no RedisError. Here a command is sent twice in one case: MOVED or ASK have said that it was not executed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import redis
from redis.client import Pipeline
from redis.exceptions import AskError, ResponseError, WatchError

from services.runtime.cluster.slots import Address, Elsewhere, Slots, keys_of, node_url, slot_of, was_moved
from services.runtime.cluster.topology import Topology

_Pipeline: Any = Pipeline
"""Half of its methods are not typed."""


class ClusterClient(redis.Redis):
    """One plain client per node, and the table that says whose turn it is."""

    def __init__(self, url: str, open_node: Callable[[str], redis.Redis]) -> None:
        """Remember how to open a node by its URL; nothing is sent before the first command."""
        self._open_node = open_node
        self._topology = Topology(url)
        # Whose replies are typed for decoded and undecoded text at once; here they are always bytes.
        self._nodes: dict[Address, Any] = {}
        self._guard = threading.RLock()
        super().__init__(connection_pool=self.node_at(self._topology.known[0]).connection_pool)

    def node_at(self, address: Address) -> Any:
        """Return the client of one node."""
        with self._guard:
            if address not in self._nodes:
                self._nodes[address] = self._open_node(node_url(self._topology.url, address))
            return self._nodes[address]

    def node_of(self, key: str) -> Any:
        """Return the client of the node that has a key."""
        return self.node_at(self.address_of(slot_of([key])))

    def address_of(self, slot: int) -> Address:
        """Return who has a slot; raises Elsewhere when nobody does."""
        return self._topology.owner(self._slots(), slot)

    def primaries(self) -> list[Any]:
        """Return the clients of all primaries."""
        return [self.node_at(address) for address in self._slots().primaries]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if str(args[0]).upper().startswith("SCRIPT"):
            answers = [node.execute_command(*args, **options) for node in self.primaries()]
            return answers[0]
        keys = keys_of(args)
        address = self.address_of(slot_of(keys)) if keys else self._slots().primaries[0]
        try:
            return self.node_at(address).execute_command(*args, **options)
        except (redis.RedisError, OSError) as exc:
            return self.again(args, options, address, exc)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> ClusterPipeline:
        return ClusterPipeline(self, transaction)

    def disconnect(self) -> None:
        """Drop every connection."""
        with self._guard:
            for node in self._nodes.values():
                node.connection_pool.disconnect()
            self._topology.forget()

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    def turned_away(self, error: Exception, asked: Address) -> Address | None:
        """See Topology."""
        with self._guard:
            return self._topology.turned_away(error, asked)

    def again(self, args: Sequence[Any], options: dict[str, Any], asked: Address, error: Exception) -> Any:
        """Go where MOVED or ASK send us, once; raises every other error."""
        target = self.turned_away(error, asked)
        if target is None:
            raise error
        node = self.node_at(target)
        try:
            if was_moved(error):
                return node.execute_command(*args, **options)
            pipe = node.pipeline(transaction=False)
            pipe.execute_command("ASKING")
            pipe.execute_command(*args, **options)
            return pipe.execute()[1]
        except AskError as exc:
            self.turned_away(exc, target)
            raise Elsewhere(f"the cluster moves these keys: {exc}") from exc
        except (redis.RedisError, OSError) as exc:
            self.turned_away(exc, target)
            raise

    def _slots(self) -> Slots:
        with self._guard:
            if self._topology.slots is not None:
                return self._topology.slots
            failure: Exception | None = None
            for address in list(self._topology.known):
                try:
                    return self._topology.learn(self.node_at(address).execute_command("CLUSTER SLOTS"), address)
                except ResponseError as exc:
                    failure = self._topology.refused(address, exc)
                except (redis.RedisError, OSError) as exc:
                    failure = exc
                self._topology.last(address)
            raise failure or redis.ConnectionError("the cluster's URL names no node")


class ClusterPipeline(_Pipeline):  # type: ignore[misc]
    """Transactions are one slot's; what is none goes to each node in its turn."""

    def __init__(self, cluster: ClusterClient, transaction: bool) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction, None)
        self._cluster = cluster
        self.command_stack: list[Any] = []
        self._keys: list[Any] = []
        self._asked: Address | None = None

    def reset(self) -> None:
        super().reset()
        self._keys = []

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if (self.transaction or self.watching or args[0] == "WATCH") and (keys := keys_of(args)):
            slot_of([*self._keys, *keys])
            self._keys = [keys[0]]
        return super().execute_command(*args, **options)

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        self._choose()
        keys, first = self._keys, not self.watching
        try:
            return super().immediate_execute_command(*args, **options)
        except (redis.RedisError, OSError) as exc:
            if self._turned_away(exc) is None:
                raise
            self.reset()
            if not first or not was_moved(exc):
                raise Elsewhere(f"the cluster moves these keys: {exc}") from exc
        self._keys = keys
        self._choose()
        return super().immediate_execute_command(*args, **options)

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        if not self.transaction and not self.explicit_transaction:
            return self._spread(raise_on_error)
        if self._keys:
            self._choose()
        stack, keys, watching = list(self.command_stack), self._keys, self.watching
        try:
            return cast("list[Any]", super().execute(raise_on_error))
        except WatchError:
            raise
        except (redis.RedisError, OSError) as exc:
            if self._turned_away(exc) is None:
                raise
            if watching:
                raise WatchError("the cluster moved what was watched") from exc
            if not was_moved(exc):
                raise Elsewhere(f"the cluster moves these keys: {exc}") from exc
        # It was not executed.
        self.command_stack, self._keys = stack, keys
        self._choose()
        return cast("list[Any]", super().execute(raise_on_error))

    def _choose(self) -> None:
        if self.connection is None and self._keys:
            self._asked = self._cluster.address_of(slot_of(self._keys))
            self.connection_pool = self._cluster.node_at(self._asked).connection_pool

    def _turned_away(self, error: Exception) -> Address | None:
        return None if self._asked is None else self._cluster.turned_away(error, self._asked)

    def _spread(self, raise_on_error: bool) -> list[Any]:
        stack = list(self.command_stack)
        self.reset()
        groups: dict[Address, list[int]] = {}
        for index, (args, _) in enumerate(stack):
            groups.setdefault(self._cluster.address_of(slot_of(keys_of(args))), []).append(index)
        answers: list[Any] = [None] * len(stack)
        for address, indices in groups.items():
            pipe = self._cluster.node_at(address).pipeline(transaction=False)
            for index in indices:
                pipe.execute_command(*stack[index][0], **stack[index][1])
            try:
                found = pipe.execute(raise_on_error=False)
            except (redis.RedisError, OSError) as exc:
                self._cluster.turned_away(exc, address)
                raise
            for index, answer in zip(indices, found, strict=True):
                if isinstance(answer, AskError):
                    args, options = stack[index]
                    answer = self._cluster.again(args, options, address, answer)
                answers[index] = answer
        if raise_on_error:
            self.raise_first_error(stack, answers)
        return answers
