"""`midstream session`: sessions beside the one of the server's environment."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.commands.arguments import Json, TimeDebt
from services.cli.commands.shape import Command
from services.cli.connecting import connecting
from services.cli.options import check_session, run_speed

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings

session = typer.Typer(help="Sessions beside the server's own, each with an engine of its own.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the session.", callback=check_session)]


class Mode(enum.StrEnum):
    """Where ticks come from at first."""

    historical = "historical"
    live = "live"


@session.command("create", cls=Command)
@connecting
def session_create(
    channel: ChannelSettings,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Recorded files and globs below the server's MIDSTREAM_DATA."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="What it is called; the server makes a name up by default.", callback=check_session)
    ] = "",
    live_url: Annotated[str, typer.Option(help="A live feed, as MIDSTREAM_LIVE_URL.")] = "",
    mode: Annotated[
        Mode | None, typer.Option(help="Where ticks come from at first; historical where there are files.")
    ] = None,
    speed: Annotated[
        str | None, typer.Option(help="`max` (default), or a factor of real time; 1 with --gap-cap, --rate, --delay.")
    ] = None,
    gap_cap: Annotated[
        str, typer.Option(help="Longest gap between records, like 5s; 0s: none.", metavar="DURATION")
    ] = "",
    rate: Annotated[
        float | None, typer.Option(help="Records per second instead of real gaps.", metavar="NUMBER", min=0.0)
    ] = None,
    delay: Annotated[str, typer.Option(help="Time between records instead of real gaps.", metavar="DURATION")] = "",
    time_debt: Annotated[
        TimeDebt | None, typer.Option(help="What becomes of records that are late; the server's setting by default.")
    ] = None,
    time_debt_limit: Annotated[
        str, typer.Option(help="How late is too late with `fail`; 5s unless set.", metavar="DURATION")
    ] = "",
    start: Annotated[str, typer.Option(help="First arrival time to replay, as in the files.")] = "",
    end: Annotated[str, typer.Option(help="Arrival time to stop before.")] = "",
    ticker: Annotated[list[str] | None, typer.Option(help="Only this ticker; repeat for more.")] = None,
    latency: Annotated[
        list[str] | None, typer.Option(help="Latency model in place of the files'; NAME=MODEL for one file.")
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(help="Sink that it waits for; repeat for more, `none` for none; price by default."),
    ] = None,
    partitions: Annotated[
        int, typer.Option(min=1, max=1024, help="In how many parts, by ticker, its ticks are published.")
    ] = 1,
    private: Annotated[
        bool, typer.Option("--private", help="One reader's own: it may wait for its subscribers.")
    ] = False,
    json: Json = False,
) -> None:
    """Create a session, which starts at once. Files of this machine may be named as they are here."""
    from services.cli.session_command import Wanted, run_create

    # A length of 0 says that the gaps of the data count, whatever the server's setting is.
    gaps = (("--gap-cap", gap_cap), ("--rate", rate), ("--delay", delay))
    paced = [name for name, given in gaps if given and re.search("[1-9]", str(given))]
    wanted = Wanted(
        name=name,
        files=tuple(files or ()),
        live_url=live_url,
        mode=mode.value if mode is not None else "",
        speed=run_speed(speed, paced=paced, time_debt=TimeDebt.catch_up.value),
        start=start,
        end=end,
        tickers=tuple(ticker or ()),
        latency=tuple(latency or ()),
        sinks=tuple(sink or ()),
        private=private,
        partitions=partitions,
        gap_cap=gap_cap,
        rate=rate,
        delay=delay,
        time_debt=time_debt.value if time_debt is not None else "",
        time_debt_limit=time_debt_limit,
    )
    raise typer.Exit(run_create(wanted, as_json=json, channel=channel))


@session.command("list", cls=Command)
@connecting
def session_list(channel: ChannelSettings, json: Json = False) -> None:
    """List all sessions, as `midstream sessions` does."""
    from services.cli.health_command import run_sessions

    raise typer.Exit(run_sessions(as_json=json, watch=False, channel=channel))


@session.command("show", cls=Command)
@connecting
def session_show(channel: ChannelSettings, name: Name, json: Json = False) -> None:
    """Show what a session replays, and how it is."""
    from services.cli.session_command import run_show

    raise typer.Exit(run_show(name, as_json=json, channel=channel))


@session.command("delete", cls=Command)
@connecting
def session_delete(channel: ChannelSettings, name: Name, json: Json = False) -> None:
    """End a session and its sinks, and say where their logs stay."""
    from services.cli.session_command import run_delete

    raise typer.Exit(run_delete(name, as_json=json, channel=channel))
