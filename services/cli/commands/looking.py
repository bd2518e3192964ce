"""`midstream health`, `lag`, `sessions` and `tail`: what goes on."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.commands.arguments import Json, ServedSession
from services.cli.connecting import connecting

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings

Watch = Annotated[bool, typer.Option("--watch", help="Show it again every second, until Ctrl-C.")]


class Kind(enum.StrEnum):
    """What a session gives."""

    ticks = "ticks"
    mids = "mids"


@connecting
def health(channel: ChannelSettings, watch: Watch = False, json: Json = False) -> None:
    """Show how everything is: servers, Redis, feed, queue, exchanges. Ends with 1 when something is degraded or down."""
    from services.cli.health_command import run_health

    raise typer.Exit(run_health(as_json=json, watch=watch, channel=channel))


@connecting
def lag(channel: ChannelSettings, watch: Watch = False, json: Json = False) -> None:
    """Show how far every consumer group and every sink (price) is behind, and for how long it has stood still."""
    from services.cli.health_command import run_lag

    raise typer.Exit(run_lag(as_json=json, watch=watch, channel=channel))


@connecting
def sessions(channel: ChannelSettings, watch: Watch = False, json: Json = False) -> None:
    """List the sessions: mode, state, position, revision, age of the report."""
    from services.cli.health_command import run_sessions

    raise typer.Exit(run_sessions(as_json=json, watch=watch, channel=channel))


@connecting
def tail(
    channel: ChannelSettings,
    kind: Annotated[Kind, typer.Argument(metavar="[ticks|mids]", help="What to show.")] = Kind.ticks,
    session: ServedSession = "",
    ticker: Annotated[list[str] | None, typer.Option(help="Only this ticker; repeat for more.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Begin so many records before the newest.")] = None,
    from_oldest: Annotated[bool, typer.Option("--from-oldest", help="Begin at the oldest retained record.")] = False,
    after: Annotated[int | None, typer.Option(min=0, help="Begin behind this sequence.")] = None,
    epoch: Annotated[str, typer.Option(help="Which numbering --after is of; the current one by default.")] = "",
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many records.")] = None,
    json: Json = False,
) -> None:
    """Show ticks or mids of a session as they come, with gaps and switches; a lost connection is made again."""
    from services.cli.tail_command import Wanted, run_tail

    if sum((from_oldest, after is not None, last is not None)) > 1:
        raise typer.BadParameter("--from-oldest, --after and --last exclude each other")
    if epoch and after is None:
        raise typer.BadParameter("--epoch says which numbering --after is of: give that, too")
    wanted = Wanted(
        mids=kind is Kind.mids,
        session=session,
        tickers=tuple(ticker or ()),
        from_oldest=from_oldest,
        after=after,
        epoch=epoch,
        last=last,
        count=count,
    )
    raise typer.Exit(run_tail(wanted, as_json=json, channel=channel))
