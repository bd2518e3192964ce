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


class Policy(enum.StrEnum):
    """What happens to who reads too slowly."""

    conflate = "conflate"
    skip = "skip"
    disconnect = "disconnect"
    block = "block"


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
def partitions(channel: ChannelSettings, session: ServedSession = "", watch: Watch = False, json: Json = False) -> None:
    """Show who produces each partition of a session, how far it is, and where its sinks stand."""
    from services.cli.partitions_command import run_partitions

    raise typer.Exit(run_partitions(session, as_json=json, watch=watch, channel=channel))


@connecting
def tail(
    channel: ChannelSettings,
    kind: Annotated[Kind, typer.Argument(metavar="[ticks|mids]", help="What to show.")] = Kind.ticks,
    session: ServedSession = "",
    ticker: Annotated[list[str] | None, typer.Option(help="Only this ticker; repeat for more.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Begin so many records before the newest.")] = None,
    from_oldest: Annotated[bool, typer.Option("--from-oldest", help="Begin at the oldest retained record.")] = False,
    after: Annotated[
        str,
        typer.Option(
            metavar="PLACE",
            help="Begin behind this sequence; of all partitions of a session, behind the places that --positions shows.",
        ),
    ] = "",
    epoch: Annotated[str, typer.Option(help="Which numbering --after is of; the current one by default.")] = "",
    latest: Annotated[bool, typer.Option("--latest", help="Begin with the latest of each ticker.")] = False,
    since: Annotated[str, typer.Option(help="Begin with what arrived at this time, YYYY-MM-DD HH:MM:SS.ffffff.")] = "",
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many records.")] = None,
    policy: Annotated[
        Policy | None,
        typer.Option(
            metavar="POLICY",
            help="When this reads too slowly: conflate to the latest of each ticker, skip the oldest, disconnect (the default), "
            "or block the session, if it is private.",
        ),
    ] = None,
    every: Annotated[str, typer.Option(help="With --policy conflate: at most once in this time, like 100ms.")] = "",
    lag_max: Annotated[int, typer.Option(min=0, help="With --policy skip: skip what is more records behind.")] = 0,
    with_lag: Annotated[bool, typer.Option("--lag", help="Show how far behind this is, batch by batch.")] = False,
    partition: Annotated[int | None, typer.Option(min=0, help="Only this partition, by its numbers.")] = None,
    positions: Annotated[
        bool, typer.Option("--positions", help="With --json: say behind each batch where --after goes on.")
    ] = False,
    json: Json = False,
) -> None:
    """Show ticks or mids of a session as they come, with gaps and switches; a lost connection is made again."""
    from services.cli.tail_command import Wanted, run_tail

    if sum((from_oldest, bool(after), last is not None, latest, bool(since))) > 1:
        raise typer.BadParameter("--from-oldest, --after, --last, --latest and --since exclude each other")
    if every and policy is not Policy.conflate:
        raise typer.BadParameter("--every is how often to conflate: give --policy conflate, too")
    if lag_max and policy is not Policy.skip:
        raise typer.BadParameter("--lag-max is what is skipped behind: give --policy skip, too")
    if partition is not None and last is not None:
        raise typer.BadParameter("--last counts the records of the whole session, and not those of a --partition")
    if epoch and not after.isdigit():
        raise typer.BadParameter("--epoch says which numbering a sequence of --after is of: give that, too")
    if positions and not json:
        raise typer.BadParameter("--positions are for scripts: give --json, too")
    wanted = Wanted(
        mids=kind is Kind.mids,
        session=session,
        tickers=tuple(ticker or ()),
        from_oldest=from_oldest,
        after=after,
        epoch=epoch,
        last=last,
        count=count,
        latest=latest,
        since=since,
        policy=policy.value if policy is not None else "",
        every=every,
        lag_records_max=lag_max,
        with_lag=with_lag,
        partition=partition,
        positions=positions,
    )
    raise typer.Exit(run_tail(wanted, as_json=json, channel=channel))
