"""`midstream mode | status | pause | resume | speed | seek | step | range | schedule`: ask the control server of a session."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc

from clients.rpc import ChannelSettings, ControlClient, HealthClient, UnusableChannel
from protos.common.v1.market_pb2 import HandOver
from protos.control.v1.control_pb2 import ControlState, When
from protos.health.v1 import health_pb2 as pb
from services.cli.names import HAND_OVER_NAMES, MODE_NAMES, STATUS_NAMES, status_figure
from services.cli.output import ExitCode, fail, show
from services.cli.places import place_of, shown_when, time_ns, when_figures
from services.cli.rpc_errors import explain
from services.cli.servers import address_of
from services.cli.shown_times import shown_span, shown_time
from services.cli.terminal import one_line
from services.runtime.down_file import DownFile

HEALTH_S: Final = 2.0
"""How long `status` waits for the line about the servers."""

REPORT_OLD_S: Final = 5.0
"""An engine reports several times a second; one that is silent for this long is gone or stuck."""


Action = Callable[[ControlClient], tuple[str, dict[str, Any]]]
"""Asks a session for something; returns the sentence and the figures that tell what came of it."""


def call(
    session: str,
    as_json: bool,
    channel: ChannelSettings,
    action: Action,
) -> int:
    """Run `action` and print its sentence or, with --json, its figures; errors take one line on stderr.

    Without a session the one that the server is set to is meant.
    """
    address = address_of("control")
    try:
        with ControlClient(address, session=session, channel=channel) as client:
            sentence, figures = action(client)
    except grpc.RpcError as exc:
        said = explain("control", address, exc, channel)
        why = "; ".join((said.message, *down_servers().values()))
        return fail(why, said.exit_code, as_json=as_json, status=exc.code().name)
    except UnusableChannel as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json)
    return show(sentence, figures, as_json=as_json)


def switch(mode: str, when: When | None, hand_over: str = "") -> Action:
    """Switch the mode and say what it was before, or begin a hand-over."""

    def action(client: ControlClient) -> tuple[str, dict[str, Any]]:
        answer = client.set_mode(mode, when=when, hand_over=hand_over)
        if hand_over not in ("", "at-once") and when is None:
            return (
                f"hand-over to live begins ({hand_over}), revision {answer.revision}",
                {"hand_over": hand_over, "mode": MODE_NAMES[answer.mode], "revision": answer.revision},
            )
        before, after = MODE_NAMES[answer.previous_mode], MODE_NAMES[answer.mode]
        sentence = f"{after} (was {before}), revision {answer.revision}"
        return _told(sentence, {"previous_mode": before, "mode": after, "revision": answer.revision}, when)

    return action


def pause(when: When | None) -> Action:
    """Pause."""

    def action(client: ControlClient) -> tuple[str, dict[str, Any]]:
        revision = client.pause(when=when)
        return _told(f"paused, revision {revision}", {"paused": when is None, "revision": revision}, when)

    return action


def resume(when: When | None) -> Action:
    """Go on after a pause."""

    def action(client: ControlClient) -> tuple[str, dict[str, Any]]:
        revision = client.resume(when=when)
        return _told(f"running, revision {revision}", {"paused": False, "revision": revision}, when)

    return action


def speed(factor: float, when: When | None) -> Action:
    """Set the speed of the historical replay."""

    def action(client: ControlClient) -> tuple[str, dict[str, Any]]:
        answer = client.set_speed(factor, when=when)
        shown = f"{answer.speed:g}x" if answer.speed else "max"
        figures = {"speed": answer.speed, "revision": answer.revision}
        return _told(f"speed {shown}, revision {answer.revision}", figures, when)

    return action


def seek(place: str, when: When | None) -> Action:
    """Move replay time to a place as people write it. Raises StartRefused."""
    wanted = place_of(place)

    def action(client: ControlClient) -> tuple[str, dict[str, Any]]:
        answer = client.seek(**wanted, when=when)
        time_ns = answer.position_arrival_time_ns
        figures = {"position_arrival_time_ns": time_ns, "sequence": answer.sequence, "revision": answer.revision}
        return _told(f"at {_shown_position(time_ns)}, revision {answer.revision}", figures, when)

    return action


def step(ticks: int, ticker: str, when: When | None) -> Action:
    """Publish the next ticks and stay paused."""

    def action(client: ControlClient) -> tuple[str, dict[str, Any]]:
        answer = client.step(ticks, ticker=ticker, when=when)
        time_ns = answer.position_arrival_time_ns
        figures = {"ticks": answer.ticks, "position_arrival_time_ns": time_ns, "revision": answer.revision}
        sentence = f"{answer.ticks:,} ticks, at {_shown_position(time_ns)}, revision {answer.revision}"
        return _told(sentence, figures, when)

    return action


def set_range(start: str, end: str, *, loop: bool, when: When | None) -> Action:
    """Play a part, by times as people write them. Raises StartRefused."""
    start_ns, end_ns = time_ns(start) if start else None, time_ns(end) if end else None

    def action(client: ControlClient) -> tuple[str, dict[str, Any]]:
        revision = client.set_range(start_arrival_time_ns=start_ns, end_arrival_time_ns=end_ns, loop=loop, when=when)
        bounds = f"{start or 'the beginning'} to {end or 'the end'}"
        figures = {"start_arrival_time_ns": start_ns, "end_arrival_time_ns": end_ns, "loop": loop, "revision": revision}
        return _told(f"{bounds}, then {'again' if loop else 'stop'}, revision {revision}", figures, when)

    return action


def scheduled(client: ControlClient) -> tuple[str, dict[str, Any]]:
    """List the commands that wait for their place."""
    commands = client.scheduled()
    lines = [f"{one.revision}  {shown_when(one.when)}: {one.kind} {one.what}".rstrip() for one in commands]
    figures = [
        {"revision": one.revision, "kind": one.kind, "what": one.what, "when": when_figures(one.when)}
        for one in commands
    ]
    return "\n".join(lines) or "nothing is scheduled", {"scheduled": figures}


def cancel(revision: int) -> Action:
    """Have a scheduled command not happen."""

    def action(client: ControlClient) -> tuple[str, dict[str, Any]]:
        applied = client.cancel_scheduled(revision)
        return f"{revision} is cancelled, revision {applied}", {"cancelled": revision, "revision": applied}

    return action


def _told(sentence: str, figures: dict[str, Any], when: When | None) -> tuple[str, dict[str, Any]]:
    """Return what is told of a command that took effect, or is only on the list."""
    if when is None:
        return sentence, figures
    revision = figures["revision"]
    return f"scheduled {shown_when(when)}, revision {revision}", {"scheduled": when_figures(when), "revision": revision}


def _shown_position(time_ns: int) -> str:
    return shown_time(time_ns) if time_ns else "the beginning"


def status(channel: ChannelSettings) -> Action:
    """Tell everything about the session, and in a line how the servers are."""
    return lambda client: _status(client, channel)


def _status(client: ControlClient, channel: ChannelSettings) -> tuple[str, dict[str, Any]]:
    state = client.state()
    report = _health(channel)
    figures = {
        "session": state.session,
        "mode": MODE_NAMES[state.mode],
        "intended_mode": MODE_NAMES[state.intended_mode],
        "state": state.state,
        "paused": state.paused,
        "speed": state.speed,
        "pace": state.pace,
        "revision": state.revision,
        "intended_revision": state.intended_revision,
        "last_sequence": state.last_sequence,
        "position_arrival_time_ns": state.position_arrival_time_ns,
        "live_connected": state.live_connected,
        "reported_time_ns": state.reported_time_ns,
        "report_age_s": _age_s(state),
        "error": state.error,
        "acknowledged": state.acknowledged or None,
        "partitions": state.partitions or None,
        "redis_url": state.redis_url,
        "hand_over": _hand_over_figures(state),
        "down": down_servers(),
        "health": None if report is None else status_figure(report.status),
        "not_ok": [] if report is None else [check.name for check in report.checks if check.status != pb.STATUS_OK],
    }
    return "\n".join([*_status_lines(state), *_servers_lines(report), *_down_lines()]), figures


def _health(channel: ChannelSettings) -> pb.Report | None:
    """What the health server says; None where it does not answer: a session has a state without it."""
    try:
        with HealthClient(address_of("health"), timeout_s=HEALTH_S, channel=channel) as client:
            return client.report()
    except grpc.RpcError:
        return None


def _servers_lines(report: pb.Report | None) -> list[str]:
    if report is None:
        return ["servers    the health server does not answer (`midstream health` says why)"]
    bad = [check.name for check in report.checks if check.status not in (pb.STATUS_OK, pb.STATUS_UNSPECIFIED)]
    which = f": {', '.join(bad)} (`midstream health` says why)" if bad else ""
    return [f"servers    {STATUS_NAMES[report.status]}{which}"]


def down_servers() -> dict[str, str]:
    """Return which servers of a `serve` in the output directory of this environment are down, and why."""
    return DownFile(Path(os.environ.get("MIDSTREAM_OUT") or "var")).read()


def _down_lines() -> list[str]:
    return [f"down       {one_line(why)}" for why in down_servers().values()]


def _status_lines(state: ControlState) -> list[str]:
    lines = [
        f"session    {state.session}",
        f"mode       {MODE_NAMES[state.mode]}"
        + (f" (asked for: {MODE_NAMES[state.intended_mode]})" if state.intended_mode != state.mode else ""),
        f"state      {state.state.lower() or 'the replay server has not reported yet'}",
        f"speed      {f'{state.speed:g}x' if state.speed else 'max'}"
        + (f", {one_line(state.pace)}" if state.pace else ""),
        f"published  {state.last_sequence:,} records{_shown_partitions(state)}{_shown_acknowledged(state)}",
        f"position   {_shown_position(state.position_arrival_time_ns)}",
        f"live feed  {'connected' if state.live_connected else 'not connected'}",
        f"revision   {state.revision} of {state.intended_revision}",
        f"reported   {_reported(state)}",
        f"Redis      {state.redis_url}",
    ]
    if state.HasField("range") or state.loop:
        start, end = state.range.start_arrival_time_ns, state.range.end_arrival_time_ns
        bounds = f"{_shown_position(start)} to {shown_time(end) if end else 'the end'}"
        lines.append(f"range      {bounds}, then {'again' if state.loop else 'stop'}")
    if state.HasField("hand_over"):
        lines.append(f"hand-over  {_shown_hand_over(state.hand_over)}")
    lines += [f"scheduled  {one.revision}, {shown_when(one.when)}: {one.kind} {one.what}" for one in state.scheduled]
    if state.error:
        lines.append(f"error      {state.error}")
    return lines


def _shown_partitions(state: ControlState) -> str:
    return f" in {state.partitions:,} partitions (`midstream partitions` tells of each)" if state.partitions > 1 else ""


def _shown_acknowledged(state: ControlState) -> str:
    return f", acknowledged by {state.acknowledged}" if state.acknowledged else ""


def _hand_over_figures(state: ControlState) -> dict[str, Any] | None:
    if not state.HasField("hand_over"):
        return None
    hand_over = state.hand_over
    return {
        "kind": HAND_OVER_NAMES[hand_over.kind],
        "phase": HandOver.Phase.Name(hand_over.phase).removeprefix("PHASE_").lower(),
        "buffered_frames": hand_over.buffered_frames,
        "overlap_removed": hand_over.overlap_removed,
        "gap_ns": hand_over.gap_ns,
        "rejoins": hand_over.rejoins,
    }


def _shown_hand_over(hand_over: HandOver) -> str:
    kind = HAND_OVER_NAMES[hand_over.kind]
    phase = HandOver.Phase.Name(hand_over.phase).removeprefix("PHASE_").lower().replace("_", " ")
    if hand_over.phase == HandOver.PHASE_UNSPECIFIED:
        return f"{kind}, over"
    told = [f"{kind}, {phase}"]
    if hand_over.phase != HandOver.PHASE_JOINED:
        told.append(f"{hand_over.buffered_frames:,} messages wait")
    told.append(f"{hand_over.overlap_removed:,} records left out that history had")
    if hand_over.gap_ns:
        told.append(f"{hand_over.gap_ns / 1e9:,.3f} s missing")
    return ", ".join(told)


def _age_s(state: ControlState) -> float | None:
    """How long ago the engine reported; None before it ever did. Clocks of two machines may differ a little: never below zero."""
    if not state.reported_time_ns:
        return None
    return max(round((time.time_ns() - state.reported_time_ns) / 1e9, 1), 0.0)


def _reported(state: ControlState) -> str:
    age_s = _age_s(state)
    if age_s is None:
        return "never"
    at = datetime.fromtimestamp(state.reported_time_ns / 1e9, UTC).strftime("%H:%M:%S UTC")
    if age_s < REPORT_OLD_S:
        return f"{at}, {shown_span(age_s)} ago"
    if state.partitions > 1:
        return f"{at}, {shown_span(age_s)} ago: that of a partition is old, `midstream partitions` and `midstream health` say of which"
    return f"{at}, {shown_span(age_s)} ago: the above is old, the replay server has not reported since"
