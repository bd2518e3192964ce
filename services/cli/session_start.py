"""Look at a session of a Redis that was used before, so that a replay never mistakes another run's queue for its own."""

from __future__ import annotations

from typing import Any, Final

import redis

from fastpath.frame import peek
from fastpath.records import FrameError
from services.replay.queue.groups import parse_id
from services.runtime.connection import at, connect, is_cluster, redacted
from services.runtime.errors import FailedPrecondition, StartRefused
from services.runtime.session import partitions_stored
from services.runtime.session.holders import parse_holder
from services.runtime.session.keys import SESSIONS, SessionKeys

_ATTEMPTS: Final = 3


def prepare_session(url: str, session: str, *, sink: str, epoch: str) -> None:
    """Make room for a run that stands in `epoch` (empty: at its beginning); the queue of that very epoch is left as it is.

    The queue of another run is deleted: what was recorded can be read again. Raises StartRefused when somebody has not read it yet,
    and when Redis does not answer. A session that is being produced is left alone; its producer is told by the engine.
    """
    try:
        with connect(url, client_name="midstream-cli-start") as client:
            _refuse_partitions(client, SessionKeys(session))
            for _ in range(_ATTEMPTS):
                if _prepared(client, SessionKeys(session), sink, epoch):
                    return
    except (redis.RedisError, OSError) as exc:
        raise StartRefused(
            f"Redis at {redacted(url)} does not answer ({redacted(str(exc))}); start it, or correct --redis-url"
        ) from exc
    raise StartRefused(f"session `{session}` is being changed by somebody else; try again, or take another --session")


def _refuse_partitions(client: Any, keys: SessionKeys) -> None:
    """Raise StartRefused where the records are in several queues: a run has one, and would take the others for its own."""
    try:
        count = partitions_stored.decode(keys, client.get(keys.partitions)).count
    except FailedPrecondition as exc:
        raise StartRefused(exc.message) from exc
    if count > 1:
        raise StartRefused(
            f"session `{keys.session}` is published in {count:,} partitions, and a run of its own has one; take another --session, "
            "or delete that one first"
        )


def _prepared(client: Any, keys: SessionKeys, sink: str, epoch: str) -> bool:
    with client.pipeline(transaction=True) as pipeline:
        pipeline.watch(keys.fence, keys.lease, keys.ticks)
        if not pipeline.exists(keys.ticks, keys.checkpoint) or (epoch and _epoch(pipeline, keys) == epoch):
            return True
        holder = parse_holder(pipeline.get(keys.lease))
        if holder is not None and any(
            known["name"] == holder.client_name for known in at(client, keys.lease).client_list()
        ):
            return True
        _refuse_unread(client, keys, sink)
        of_partition = (
            *(keys.ticks, keys.mids, keys.latest, keys.fence, keys.lease, keys.order, keys.effects, keys.sinks),
        )
        of_session = (keys.control, keys.requests, keys.intended, keys.state)
        pipeline.multi()
        if is_cluster(client):
            pipeline.delete(*of_partition)
        else:
            pipeline.delete(*of_partition, keys.checkpoint, *of_session)
            pipeline.srem(SESSIONS, keys.session)
        try:
            pipeline.execute()
        except redis.WatchError:
            return False
    if is_cluster(client):
        # Of other slots. The checkpoint goes last: while it is there, whoever comes next does all of it again.
        client.delete(*of_session)
        client.srem(SESSIONS, keys.session)
        client.delete(keys.checkpoint)
    return True


def _epoch(client: Any, keys: SessionKeys) -> str:
    newest = client.xrevrange(keys.ticks, count=1)
    if newest:
        try:
            return peek(newest[0][1][b"b"]).epoch
        except (FrameError, KeyError):
            return ""
    stored = client.hget(keys.checkpoint, "epoch")
    return stored.decode() if stored else ""


def _refuse_unread(client: Any, keys: SessionKeys, sink: str) -> None:
    newest = client.xrevrange(keys.ticks, count=1)
    if not newest:
        return
    last = parse_id(newest[0][0])
    for info in client.xinfo_groups(keys.ticks):
        name, committed = info["name"].decode("utf-8", "replace"), parse_id(info["last-delivered-id"])
        if info["pending"]:
            committed = min(committed, parse_id(client.xpending(keys.ticks, info["name"])["min"]) - 1)
        if name != sink and committed < last:
            raise StartRefused(
                f"session `{keys.session}` holds records that consumer group `{name}` has not read yet; take another "
                f"name with --session, or remove the group (XGROUP DESTROY {keys.ticks} {name})"
            )
