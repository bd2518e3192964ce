"""The `midstream` command."""

from __future__ import annotations

import enum
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clients.exchanges.names import EXCHANGES
from services.cli.connecting import connecting
from services.cli.options import ReplayOptions, check_session, parse_speed
from services.cli.output import ExitCode, fail
from services.cli.servers import SERVERS
from services.cli.signals import run_command
from services.cli.terminal import say, write
from services.runtime.version import version

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings

# Frames cost a narrow terminal the names of options.
_MARKUP: Final = "rich" if shutil.get_terminal_size().columns >= 60 else None
_SERVERS_HELP: Final = (
    f"Servers to start: {', '.join(SERVERS)}. Without any, those that are not of the power desk, and the simulators of "
    "what no setting names."
)

app = typer.Typer(
    name="midstream",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=_MARKUP,
    help="Replay recorded and live market data in the order in which it arrived, and turn it into mid prices.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        write(f"midstream {version()}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


class NegativeLatency(enum.StrEnum):
    """What happens to latencies below zero."""

    keep = "keep"
    clamp = "clamp"
    shift = "shift"


class Unsorted(enum.StrEnum):
    """What happens to a file that is sorted neither by event time nor by arrival."""

    refuse = "refuse"
    sort = "sort"


class LogTimestamp(enum.StrEnum):
    """Which time stands in the logs."""

    event = "event"
    arrival = "arrival"


class FractionUnit(enum.StrEnum):
    """How a plain fraction of a second is read."""

    us = "us"


class Mode(enum.StrEnum):
    """Where ticks come from."""

    historical = "historical"
    live = "live"


# Where no option says which session, the variable that also the servers read does.
Session = Annotated[str, typer.Option(help="Name of the session.", callback=check_session, envvar="MIDSTREAM_SESSION")]
ServedSession = Annotated[
    str,
    typer.Option(
        "--session",
        help="Name of the session; without one, that of the server.",
        callback=check_session,
        envvar="MIDSTREAM_SESSION",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


@app.command()
def replay(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Tick files or globs; their order breaks ties.")],
    out: Annotated[Path, typer.Option(help="Directory for the logs and the report.")] = Path("midstream-out"),
    session: Session = "default",
    speed: Annotated[str, typer.Option(help="`max`, or a factor of real time.")] = "max",
    latency_threshold_ms: Annotated[str, typer.Option(help="Rows slower than this get an error line.")] = "20",
    log_timestamp: Annotated[LogTimestamp, typer.Option(help="Time in the logs.")] = LogTimestamp.event,
    fraction_unit: Annotated[
        FractionUnit | None, typer.Option(help="Read a plain fraction of a second as this unit.")
    ] = None,
    negative_latency: Annotated[NegativeLatency, typer.Option(help="Latencies below zero.")] = NegativeLatency.keep,
    min_latency_ms: Annotated[
        float | None, typer.Option(help="Declare a lower bound of every latency, which saves a scan.")
    ] = None,
    unsorted: Annotated[Unsorted, typer.Option(help="Files sorted by neither time.")] = Unsorted.refuse,
    ticker: Annotated[list[str] | None, typer.Option(help="Only this ticker; repeat for more.")] = None,
    start: Annotated[str, typer.Option(help="First arrival time to replay.")] = "",
    end: Annotated[str, typer.Option(help="Arrival time to stop before.")] = "",
    redis_url: Annotated[str | None, typer.Option(help="Use this Redis instead of a private one.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue what DIR holds.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what DIR holds.")] = False,
    mids_csv: Annotated[bool, typer.Option("--mids-csv", help="Also write mid_prices.csv.")] = False,
    json: Json = False,
) -> None:
    """Replay files once, through the real servers, into mid_prices.log, errors.log and report.json."""
    from services.cli.environment import check_environment
    from services.cli.replay_command import ReplayRun, run_replay
    from services.cli.run_directory import RunDirectory

    if resume and overwrite:
        raise typer.BadParameter("--resume and --overwrite exclude each other")
    check_environment()
    options = ReplayOptions(
        files=tuple(files),
        session=session or "default",
        speed=parse_speed(speed),
        latency_threshold_ms=latency_threshold_ms,
        log_timestamp=log_timestamp.value,
        fraction_unit=fraction_unit.value if fraction_unit is not None else "",
        negative_latency=negative_latency.value,
        min_latency_ms=repr(min_latency_ms) if min_latency_ms is not None else "",
        unsorted=unsorted.value,
        tickers=tuple(ticker or ()),
        start=start,
        end=end,
        mids_csv=mids_csv,
    )
    run = ReplayRun(options, RunDirectory(out), redis_url, resume=resume, overwrite=overwrite, as_json=json)
    raise typer.Exit(run_replay(run))


@app.command()
def serve(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=_SERVERS_HELP)] = None,
) -> None:
    """Keep servers up, with an embedded Redis unless MIDSTREAM_REDIS_URL names one."""
    from services.cli.environment import check_environment
    from services.cli.serve_command import run_serve

    unknown = [name for name in names or () if name not in SERVERS]
    if unknown:
        raise typer.BadParameter(f"there is no server {unknown[0]!r}; there are {', '.join(SERVERS)}")
    check_environment()
    raise typer.Exit(run_serve(names or ()))


@app.command()
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


@app.command()
@connecting
def status(channel: ChannelSettings, session: ServedSession = "", json: Json = False) -> None:
    """Tell what a session does, and which Redis it uses."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.status))


@app.command()
@connecting
def pause(channel: ChannelSettings, session: ServedSession = "", json: Json = False) -> None:
    """Stop publishing; the position is kept."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.pause))


@app.command()
@connecting
def resume(channel: ChannelSettings, session: ServedSession = "", json: Json = False) -> None:
    """Continue after a pause."""
    from services.cli import control_commands as control

    raise typer.Exit(control.call(session, json, channel, control.resume))


# So that -1 is a factor that is refused, and no option that there is none of.
@app.command(context_settings={"ignore_unknown_options": True})
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


@app.command()
@connecting
def price(
    channel: ChannelSettings,
    symbols: Annotated[
        list[str], typer.Argument(metavar="SYMBOL", help="Unified symbols: BTC/USDT, BTC/USDT:USDT, BTC/USD:BTC.")
    ],
    exchange: Annotated[str, typer.Option(help=f"{', '.join(EXCHANGES)}, or any: the first that can tell.")] = "any",
    max_age_ms: Annotated[int, typer.Option(min=0, help="Oldest value to accept; 0 is the server's default.")] = 0,
    json: Json = False,
) -> None:
    """Ask the price server for prices of exchanges."""
    from services.cli.price_command import run_price

    raise typer.Exit(run_price(symbols, exchange=exchange, max_age_ms=max_age_ms, as_json=json, channel=channel))


@app.command()
def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Tick files or globs.")],
    fraction_unit: Annotated[FractionUnit | None, typer.Option(help="Read a plain fraction as this unit.")] = None,
    latency_threshold_ms: Annotated[float, typer.Option(help="Count rows slower than this.")] = 20.0,
    json: Json = False,
) -> None:
    """Read files through and tell what is in them; nothing is played."""
    from services.cli.inspect_command import run_inspect

    raise typer.Exit(run_inspect(files, fraction_unit is not None, latency_threshold_ms, as_json=json))


@app.command()
def settings(
    server: Annotated[str | None, typer.Argument(metavar="SERVER", help="Only what this server reads.")] = None,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/settings.md.")] = False,
) -> None:
    """List every setting with its default, its legal values and what it means."""
    from services.cli.settings_command import run_settings

    if server is not None and server not in SERVERS:
        raise typer.BadParameter(f"there is no server {server!r}; there are {', '.join(SERVERS)}")
    if json and markdown:
        raise typer.BadParameter("--json and --markdown exclude each other")
    raise typer.Exit(run_settings(server, as_json=json, as_markdown=markdown))


keys = typer.Typer(help="API keys of all servers.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@keys.command("create")
def keys_create(
    role: Annotated[str, typer.Option(help="read, control, trade or admin, or several: control,trade.")],
    name: Annotated[str, typer.Option(help="Whose key it is, for lists and the audit.")] = "desk",
    owner: Annotated[str, typer.Option(help="Keys of one owner see the same orders; the name by default.")] = "",
    expires: Annotated[str, typer.Option(help="When it ends: 90d, 12h or 2027-01-31. Never by default.")] = "",
    signed_only: Annotated[bool, typer.Option("--signed-only", help="Only for signed requests.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make the database where there is none yet.")] = False,
    json: Json = False,
) -> None:
    """Make a key and print it; it is not shown again. The database is the one that the orders server's settings name."""
    from services.cli.keys_command import NewKey, run_create

    wanted = NewKey(name=name, role=role, owner=owner, expires=expires, signed_only=signed_only)
    raise typer.Exit(run_create(wanted, may_create=create, as_json=json))


@keys.command("list")
def keys_list(json: Json = False) -> None:
    """List the keys, without their secrets."""
    from services.cli.keys_command import run_list

    raise typer.Exit(run_list(as_json=json))


@keys.command("revoke")
def keys_revoke(
    key_id: Annotated[str | None, typer.Argument(metavar="KEY_ID", help="As `keys list` names it.")] = None,
    unreadable: Annotated[
        bool, typer.Option("--unreadable", help="All keys whose secret beside the database is lost.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a key unusable; running servers end its streams, too."""
    from services.cli.keys_command import run_revoke

    raise typer.Exit(run_revoke(key_id, unreadable=unreadable, as_json=json))


orders = typer.Typer(help="Orders of the orders server.", no_args_is_help=True)
app.add_typer(orders, name="orders")


@orders.command("settle")
@connecting
def orders_settle(
    channel: ChannelSettings,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="An order that is UNKNOWN.")],
    reason: Annotated[str, typer.Option(help="How you know, for the audit.")],
    key_file: Annotated[
        str,
        typer.Option(
            help="File with a key of role admin; `-` reads it from standard input. Without it MIDSTREAM_API_KEY."
        ),
    ] = "",
    not_there: Annotated[
        bool, typer.Option("--not-there", help="You have looked: the exchange does not have it.")
    ] = False,
    exchange_order_id: Annotated[str, typer.Option(help="The exchange has it, under this id.")] = "",
    json: Json = False,
) -> None:
    """Say how an order is that the server cannot find out about."""
    from services.cli.orders_command import run_settle

    code = run_settle(
        order_id,
        not_there=not_there,
        exchange_order_id=exchange_order_id,
        reason=reason,
        key_file=key_file,
        as_json=json,
        channel=channel,
    )
    raise typer.Exit(code)


@app.command(hidden=True)
def demo() -> None:
    """Play the sample data, historical, live and back, and print a summary (`make run`)."""
    from services.cli.demo_command import run_demo

    raise typer.Exit(run_demo())


# The class behind every complaint about arguments; the framework does not export it under a name of its own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; wrong arguments take one line on stderr."""
    from services.runtime.errors import StartRefused
    from services.runtime.kernels import require_kernels

    as_json = "--json" in arguments
    try:
        require_kernels()
        return int(app(list(arguments), prog_name="midstream", standalone_mode=False) or ExitCode.COMPLETE)
    except StartRefused as exc:
        return fail(str(exc), ExitCode.REFUSED, as_json=as_json)
    except typer.Abort:
        return fail("interrupted", ExitCode.INTERRUPTED, as_json=as_json)
    except _UsageError as exc:
        message = str(exc.format_message())  # type: ignore[attr-defined]
        if type(exc).__name__ == "NoArgsIsHelpError":
            # Without any argument the help has been printed, or is the message.
            say(message.rstrip("\n"))
            return ExitCode.REFUSED
        message = " ".join(message.replace("Value error, ", "").split())
        return fail(f"{message} (see `{_help_of(exc)}`)", ExitCode.REFUSED, as_json=as_json)


def _help_of(exc: Exception) -> str:
    context = getattr(exc, "ctx", None)
    return f"{context.command_path if context is not None else 'midstream'} --help"


def main() -> None:
    """Run the command line; scripts of earlier installations name this one."""
    run_command(lambda: run)


if __name__ == "__main__":
    main()
