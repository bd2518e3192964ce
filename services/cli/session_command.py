"""What `midstream session` asks the replay server for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from clients.rpc import ChannelSettings, ReplayClient, UnusableChannel
from protos.replay.v1 import replay_pb2
from services.cli.health_command import session_figures, session_state
from services.cli.names import DEBT_POLICIES, MODE_NAMES, debt_policy
from services.cli.output import ExitCode, fail, show
from services.cli.places import duration_ns, time_ns
from services.cli.rpc_errors import explain
from services.cli.servers import address_of
from services.cli.shown_times import shown_time
from services.cli.terminal import one_line
from services.runtime.session.pace_words import pace_words

DELETE_S = 30.0
"""A deletion waits for engines and sinks to end."""

Said = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """A session as it was asked for."""

    name: str
    files: tuple[str, ...]
    live_url: str
    mode: str
    speed: float
    start: str
    end: str
    tickers: tuple[str, ...]
    latency: tuple[str, ...]
    sinks: tuple[str, ...]
    private: bool
    partitions: int
    gap_cap: str = ""
    rate: float | None = None
    delay: str = ""
    time_debt: str = ""
    time_debt_limit: str = ""

    def definition(self) -> replay_pb2.SessionDefinition:
        """Put it into a message. Raises StartRefused for times and durations that are none."""
        return replay_pb2.SessionDefinition(
            files=[_as_the_server_sees(file) for file in self.files],
            live_url=self.live_url,
            mode=next((mode for mode, name in MODE_NAMES.items() if name == self.mode), 0),  # type: ignore[arg-type]
            speed=self.speed,
            start_arrival_time_ns=time_ns(self.start) if self.start else None,
            end_arrival_time_ns=time_ns(self.end) if self.end else None,
            tickers=self.tickers,
            latency=self.latency,
            sinks=self.sinks,
            private=self.private,
            partitions=self.partitions,
            gap_cap_ns=duration_ns(self.gap_cap) if self.gap_cap else None,
            rate=self.rate,
            delay_ns=duration_ns(self.delay) if self.delay else None,
            time_debt=DEBT_POLICIES[self.time_debt],
            time_debt_limit_ns=duration_ns(self.time_debt_limit) if self.time_debt_limit else 0,
        )


def run_create(wanted: Wanted, *, as_json: bool, channel: ChannelSettings) -> int:
    """Create a session and say how it is called."""
    definition = wanted.definition()

    def ask(client: ReplayClient) -> Said:
        session = client.create_session(definition, name=wanted.name)
        return f"session {session.name} created, {session_state(session)}", _figures(session)

    return _call(ask, as_json, channel)


def run_show(name: str, *, as_json: bool, channel: ChannelSettings) -> int:
    """Tell all of one session."""

    def ask(client: ReplayClient) -> Said:
        session = client.session(name)
        return "\n".join(_lines(session)), _figures(session)

    return _call(ask, as_json, channel)


def run_delete(name: str, *, as_json: bool, channel: ChannelSettings) -> int:
    """Delete a session and say where its logs are."""

    def ask(client: ReplayClient) -> Said:
        logs = client.delete_session(name)
        kept = "".join(f"; logs of {sink} stay in {one_line(directory)}" for sink, directory in logs.items())
        return f"session {name} deleted{kept}", {"session": name, "logs": logs}

    return _call(ask, as_json, channel, timeout_s=DELETE_S)


def _as_the_server_sees(file: str) -> str:
    """A file of this directory by its whole name: the server has another; what is not here is left to it."""
    return os.path.abspath(file) if os.path.exists(file) else file


def _call(
    ask: Callable[[ReplayClient], Said], as_json: bool, channel: ChannelSettings, *, timeout_s: float = 15.0
) -> int:
    address = address_of("replay")
    try:
        with ReplayClient(address, timeout_s=timeout_s, channel=channel) as client:
            sentence, figures = ask(client)
    except grpc.RpcError as exc:
        said = explain("replay", address, exc, channel)
        return fail(said.message, said.exit_code, as_json=as_json, status=exc.code().name)
    except UnusableChannel as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json)
    return show(sentence, figures, as_json=as_json)


def _figures(session: replay_pb2.Session) -> dict[str, Any]:
    asked, debt = session.definition, session.time_debt
    return session_figures(session, time.time_ns()) | {
        "private": session.private,
        "gap_cap_ns": session.pacing.gap_cap_ns,
        "rate": session.pacing.rate,
        "delay_ns": session.pacing.delay_ns,
        "time_debt": {
            "policy": debt_policy(debt.policy),
            "limit_ns": debt.limit_ns,
            "behind_ns": debt.behind_ns,
            "behind_max_ns": debt.behind_max_ns,
            "stretched_ns": debt.stretched_ns,
        },
        "definition": {
            "files": list(asked.files),
            "live_url": asked.live_url,
            "mode": MODE_NAMES[asked.mode],
            "speed": asked.speed,
            "start_arrival_time_ns": asked.start_arrival_time_ns if asked.HasField("start_arrival_time_ns") else None,
            "end_arrival_time_ns": asked.end_arrival_time_ns if asked.HasField("end_arrival_time_ns") else None,
            "tickers": list(asked.tickers),
            "latency": list(asked.latency),
            "sinks": list(asked.sinks),
            "partitions": asked.partitions,
            "gap_cap_ns": asked.gap_cap_ns if asked.HasField("gap_cap_ns") else None,
            "rate": asked.rate if asked.HasField("rate") else None,
            "delay_ns": asked.delay_ns if asked.HasField("delay_ns") else None,
            "time_debt": debt_policy(asked.time_debt) or None,
            "time_debt_limit_ns": asked.time_debt_limit_ns or None,
            "created_time_ns": asked.created_time_ns or None,
        },
    }


def _pace(session: replay_pb2.Session) -> str:
    pacing, debt = session.pacing, session.time_debt
    return pace_words(
        gap_cap_ns=pacing.gap_cap_ns,
        rate=pacing.rate,
        delay_ns=pacing.delay_ns,
        policy=debt_policy(debt.policy),
        limit_ns=debt.limit_ns,
    )


def _lines(session: replay_pb2.Session) -> list[str]:
    asked = session.definition
    lines = [
        f"session    {session.name}{' (private)' if session.private else ''}",
        f"state      {session_state(session)}",
        f"mode       {MODE_NAMES[session.mode]}",
        f"speed      {f'{session.speed:g}x' if session.speed else 'max'}",
        f"published  {session.last_sequence:,} records"
        + (f" in {session.partitions} partitions" if session.partitions > 1 else "")
        + f", {session.backlog_records:,} of them unread by a sink"
        + (f", acknowledged by {session.acknowledged}" if session.acknowledged else ""),
        f"sinks      {', '.join(asked.sinks)}",
    ]
    if session.HasField("time_debt"):
        lines.insert(4, f"pace       {_pace(session)}")
    lines += [f"file       {one_line(file)}" for file in asked.files]
    if asked.live_url:
        lines.append(f"live feed  {one_line(asked.live_url)}")
    if asked.HasField("start_arrival_time_ns"):
        lines.append(f"from       {shown_time(asked.start_arrival_time_ns)}")
    if asked.HasField("end_arrival_time_ns"):
        lines.append(f"to         {shown_time(asked.end_arrival_time_ns)}")
    if asked.tickers:
        lines.append(f"tickers    {one_line(', '.join(asked.tickers))}")
    lines += [f"latency    {one_line(model)}" for model in asked.latency]
    if asked.created_time_ns:
        lines.append(f"created    {shown_time(asked.created_time_ns)}")
    if session.error:
        lines.append(f"error      {one_line(session.error)}")
    return lines
