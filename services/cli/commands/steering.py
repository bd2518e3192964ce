"""`midstream mode`, `status`, `pause`, `resume`, `speed` and `seek`: one session, by its control server."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.commands.arguments import Json, ServedSession
from services.cli.connecting import connecting
from services.cli.options import parse_speed

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings


class Mode(enum.StrEnum):
    """Where ticks come from."""

    historical = "historical"
    live = "live"


@connecting
def mode(
    channel: ChannelSettings,
    mode: Annotated[Mode, typer.Argument(help="Where ticks come from.")],
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Switch between recorded and live data; the historical replay continues where it stopped."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.switch(mode.value)))


@connecting
def status(channel: ChannelSettings, session: ServedSession = "", json: Json = False) -> None:
    """Tell what a session does, how old that is, which Redis it uses, and in a line how the servers are."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.status(channel)))


@connecting
def pause(channel: ChannelSettings, session: ServedSession = "", json: Json = False) -> None:
    """Stop publishing; the position is kept."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.pause))


@connecting
def resume(channel: ChannelSettings, session: ServedSession = "", json: Json = False) -> None:
    """Continue after a pause."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.resume))


@connecting
def speed(
    channel: ChannelSettings,
    factor: Annotated[str, typer.Argument(metavar="X", help="`max`, or a factor of real time.")],
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Change the speed of the historical replay."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.speed(parse_speed(factor))))


@connecting
def seek(
    channel: ChannelSettings,
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="An arrival time as in the files, `+1.5s` or `-10m` from now, `begin`, `end`, or `#` and the number of a record.",
        ),
    ],
    session: ServedSession = "",
    json: Json = False,
) -> None:
    """Move replay time; a paused session stays paused."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.seek(place)))
