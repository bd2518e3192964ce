"""`midstream mode`, `status`, `pause`, `resume`, `speed`, `seek`, `step`, `range` and `schedule`: one session, by its control server."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.commands.arguments import Json, ServedSession
from services.cli.connecting import connecting, given
from services.cli.options import check_session, parse_speed

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings
    from protos.control.v1.control_pb2 import When


class Mode(enum.StrEnum):
    """Where ticks come from."""

    historical = "historical"
    live = "live"


class HandOver(enum.StrEnum):
    """When live data begins."""

    AT_ONCE = "at-once"
    AT_END = "at-end"
    JOIN = "join"


def _when(at: str, after: int | None, at_end: bool) -> When | None:
    from services.cli.places import when_of

    return when_of(at, after, at_end=at_end)


scheduling = given(
    "when",
    {
        "at": (
            Annotated[
                str,
                typer.Option(
                    "--at", metavar="TIME", help="Have it happen at this replay time: an arrival time as in the files."
                ),
            ],
            "",
        ),
        "after": (
            Annotated[
                int | None,
                typer.Option(
                    "--after", metavar="SEQUENCE", min=0, help="Have it happen behind the record with this number."
                ),
            ],
            None,
        ),
        "at_end": (
            Annotated[bool, typer.Option("--at-end", help="Have it happen where the files, or the range, end.")],
            False,
        ),
    },
    _when,
)
"""Give a command the options that schedule it; it is called with what they say, as `when`."""


@connecting
@scheduling
def mode(
    channel: ChannelSettings,
    mode: Annotated[Mode, typer.Argument(help="Where ticks come from.")],
    when: When | None = None,
    hand_over: Annotated[
        HandOver | None,
        typer.Option(
            help="With live: at once, where the files end, or join: where they have caught up with the feed, without gap or repeat."
        ),
    ] = None,
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Switch between recorded and live data; the historical replay continues where it stopped."""
    from services.cli import control_commands as control

    action = control.switch(mode.value, when, "" if hand_over is None else hand_over.value)
    raise typer.Exit(control.call(session, json, channel, action))


@connecting
def status(channel: ChannelSettings, session: ServedSession = "", json: Json = False) -> None:
    """Tell what a session does, how old that is, which Redis it uses, and in a line how the servers are."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.status(channel)))


@connecting
@scheduling
def pause(
    channel: ChannelSettings,
    when: When | None = None,
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Stop publishing; the position is kept."""
    from services.cli import control_commands as control

    action = control.pause(when)
    raise typer.Exit(control.call(session, json, channel, action))


@connecting
@scheduling
def resume(
    channel: ChannelSettings,
    when: When | None = None,
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Continue after a pause."""
    from services.cli import control_commands as control

    action = control.resume(when)
    raise typer.Exit(control.call(session, json, channel, action))


@connecting
@scheduling
def speed(
    channel: ChannelSettings,
    factor: Annotated[str, typer.Argument(metavar="X", help="`max`, or a factor of real time.")],
    when: When | None = None,
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Change the speed of the historical replay."""
    from services.cli import control_commands as control

    action = control.speed(parse_speed(factor), when)
    raise typer.Exit(control.call(session, json, channel, action))


@connecting
@scheduling
def seek(
    channel: ChannelSettings,
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="An arrival time as in the files, `+1.5s` or `-10m` from now, `begin`, `end`, or `#` and the number of a record.",
        ),
    ],
    when: When | None = None,
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Move replay time; a paused session stays paused."""
    from services.cli import control_commands as control

    action = control.seek(place, when)
    raise typer.Exit(control.call(session, json, channel, action))


@connecting
@scheduling
def step(
    channel: ChannelSettings,
    ticks: Annotated[int, typer.Argument(metavar="[TICKS]", min=1, max=1_000_000, help="How many ticks.")] = 1,
    ticker: Annotated[str, typer.Option(help="Go to the next tick of this one, instead.")] = "",
    when: When | None = None,
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Pause, and publish the next ticks at once."""
    from services.cli import control_commands as control

    action = control.step(ticks, ticker, when)
    raise typer.Exit(control.call(session, json, channel, action))


@connecting
@scheduling
def set_range(
    channel: ChannelSettings,
    start: Annotated[
        str, typer.Option(metavar="TIME", help="First arrival time to play; the beginning without one.")
    ] = "",
    end: Annotated[str, typer.Option(metavar="TIME", help="Arrival time to stop before; the end without one.")] = "",
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end.")] = False,
    when: When | None = None,
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Play a part of the recorded files; without options, everything."""
    from services.cli import control_commands as control

    action = control.set_range(start, end, loop=loop, when=when)
    raise typer.Exit(control.call(session, json, channel, action))


@connecting
def schedule(
    channel: ChannelSettings,
    cancel: Annotated[
        int | None,
        typer.Option("--cancel", metavar="REVISION", min=1, help="Have the command with this revision not happen."),
    ] = None,
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """List the commands that wait for their place, or cancel one."""
    from services.cli import control_commands as control

    action = control.scheduled if cancel is None else control.cancel(cancel)
    raise typer.Exit(control.call(session, json, channel, action))


@connecting
def journal(
    channel: ChannelSettings,
    session: Annotated[
        str, typer.Argument(metavar="[SESSION]", callback=check_session, help="That of the server, without one.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Write it into this file, instead of to stdout.")] = None,
    json: Json = False,
) -> None:
    """Tell what a session played and where each command took effect, as JSON lines; `rerun` repeats it."""
    from services.cli.journal_command import run_journal

    raise typer.Exit(run_journal(session, out, channel, as_json=json))
