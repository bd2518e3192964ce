"""The `midstream` command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from services.cli import completion
from services.cli.commands import keys, looking, orders, prices, recording, replaying, serving, sessions, steering
from services.cli.commands.shape import MARKUP, Command, Group
from services.cli.output import ExitCode, fail
from services.cli.signals import run_command
from services.cli.terminal import write
from services.runtime.version import version

app = typer.Typer(
    name=completion.PROGRAM,
    cls=Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    help="Replay recorded and live market data in the order in which it arrived, and turn it into mid prices.",
)

_PANELS: Final[Mapping[str, Sequence[Callable[..., None]]]] = {
    "Files": (
        replaying.replay,
        replaying.rerun,
        replaying.verify,
        replaying.inspect,
        replaying.whatif,
        replaying.merge_logs,
        recording.record,
    ),
    "Servers": (serving.serve, serving.settings, serving.healthcheck, serving.doctor),
    "What goes on": (looking.health, looking.sessions, looking.partitions, looking.tail, looking.lag),
    "Sessions": (
        steering.mode,
        steering.status,
        steering.pause,
        steering.resume,
        steering.speed,
        steering.seek,
        steering.step,
        steering.set_range,
        steering.schedule,
        steering.journal,
        prices.price,
    ),
}
"""The commands by what they are about, in the order of the help page."""

_NAMES: Final[Mapping[Callable[..., None], str]] = {steering.set_range: "range"}
"""Of those whose own name means something else in Python."""

_CONTEXT: Final[Mapping[Callable[..., None], dict[str, Any]]] = {
    # So that -1 is a factor that is refused, and no option that there is none of.
    steering.speed: {"ignore_unknown_options": True},
    # The same for -10m, which is a place.
    steering.seek: {"ignore_unknown_options": True},
}


def _print_version(wanted: bool) -> None:
    if wanted:
        write(f"midstream {version()}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
    show_completion: Annotated[
        completion.Shell | None,
        typer.Option(
            metavar="SHELL",
            help="Print what makes bash, zsh or fish complete our commands and options.",
            is_eager=True,
            callback=completion.show,
        ),
    ] = None,
    install_completion: Annotated[
        completion.Shell | None,
        typer.Option(
            metavar="SHELL", help="Have that shell do so from now on.", is_eager=True, callback=completion.install
        ),
    ] = None,
) -> None:
    pass


for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(_NAMES.get(_command), cls=Command, rich_help_panel=_panel, context_settings=_CONTEXT.get(_command))(
            _command
        )
app.add_typer(sessions.session, name="session", cls=Group, rich_help_panel="Sessions")
app.add_typer(keys.keys, name="keys", cls=Group, rich_help_panel="Keys and orders")
app.add_typer(orders.orders, name="orders", cls=Group, rich_help_panel="Keys and orders")
app.command(cls=Command, hidden=True)(serving.demo)

# The class behind every complaint about arguments; the framework does not export it under a name of its own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; wrong arguments take one line on stderr."""
    from services.runtime.errors import StartRefused
    from services.runtime.kernels import require_kernels

    as_json = "--json" in arguments
    try:
        if completion.VARIABLE in os.environ:
            completion.prepare()
        elif _needs_kernels(arguments):
            require_kernels()
        return int(app(list(arguments), prog_name=completion.PROGRAM, standalone_mode=False) or ExitCode.COMPLETE)
    except StartRefused as exc:
        return fail(str(exc), exc.exit_code, as_json=as_json)
    except typer.Abort:
        return fail("interrupted", ExitCode.INTERRUPTED, as_json=as_json)
    except _UsageError as exc:
        message = str(exc.format_message())  # type: ignore[attr-defined]
        if type(exc).__name__ == "NoArgsIsHelpError":
            # A help page was asked for and is what comes: printed already, or the message.
            if message.strip():
                write(message.rstrip("\n"))
            return ExitCode.COMPLETE
        message = " ".join(message.replace("Value error, ", "").split())
        return fail(f"{message} (see `{_help_of(exc)}`)", ExitCode.REFUSED, as_json=as_json)


def _needs_kernels(arguments: Sequence[str]) -> bool:
    """Help, the version, scripts of completion, the doctor, who looks for them, and verify, which judges them, come without."""
    if arguments[:1] in (["doctor"], ["verify"]):
        return False
    asked = {argument.partition("=")[0] for argument in arguments}
    return not asked & {"--help", "--version", "--show-completion", "--install-completion"} and len(asked) > 0


def _help_of(exc: Exception) -> str:
    context = getattr(exc, "ctx", None)
    return f"{context.command_path if context is not None else completion.PROGRAM} --help"


def main() -> None:
    """Run the command line; scripts of earlier installations name this one."""
    run_command(lambda: run)


if __name__ == "__main__":
    main()
