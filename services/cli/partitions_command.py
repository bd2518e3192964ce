"""`midstream partitions`: who produces what of a session."""

from __future__ import annotations

from typing import Any, Final

from clients.rpc import ChannelSettings, ReplayClient
from protos.replay.v1 import replay_pb2
from services.cli.terminal import table
from services.cli.watching import Answer, show_answers

_AT_AN_END: Final = ("completed", "failed", "unknown")


def run_partitions(session: str, *, as_json: bool, watch: bool, channel: ChannelSettings) -> int:
    """List the partitions of a session."""

    def ask(address: str) -> Answer:
        with ReplayClient(address, channel=channel) as client:
            found = client.partitions(session)
        heading = ["partition", "owner", "process", "state", "published", "sinks", ""]
        rows = [_row(each) for each in found]
        return Answer(table([heading, *rows], right=(0, 4)), {"partitions": [_figures(each) for each in found]})

    return show_answers("replay", channel, ask, as_json=as_json, watch=watch)


def _row(partition: replay_pb2.Partition) -> list[str]:
    owner = partition.owner or ("a producer without a name" if partition.pid else "nobody")
    process = f"{partition.pid} on {partition.host}" if partition.pid else ""
    sinks = ", ".join(
        f"{sink.sink} at {sink.sequence:,}{f' ({sink.owner})' if sink.owner else ''}" for sink in partition.sinks
    )
    state = _state(partition)
    if not partition.pid and state not in _AT_AN_END:
        # What its last engine said.
        state = f"was {state}"
    return [
        str(partition.partition),
        owner,
        process,
        state,
        f"{partition.last_sequence:,}",
        sinks,
        partition.error,
    ]


def _state(partition: replay_pb2.Partition) -> str:
    return (
        replay_pb2.SessionState.Name(partition.state)
        .removeprefix("SESSION_STATE_")
        .lower()
        .replace("unspecified", "unknown")
    )


def _sink(sink: replay_pb2.SinkPosition) -> dict[str, Any]:
    return {
        "sink": sink.sink,
        "owner": sink.owner,
        "host": sink.host,
        "pid": sink.pid or None,
        "sequence": sink.sequence,
    }


def _figures(partition: replay_pb2.Partition) -> dict[str, Any]:
    return {
        "partition": partition.partition,
        "owner": partition.owner,
        "host": partition.host,
        "pid": partition.pid or None,
        "state": _state(partition),
        "epoch": partition.epoch,
        "oldest_sequence": partition.oldest_sequence,
        "last_sequence": partition.last_sequence,
        "watermark_time_ns": partition.watermark_time_ns or None,
        "sinks": [_sink(sink) for sink in partition.sinks],
        "error": partition.error,
    }
