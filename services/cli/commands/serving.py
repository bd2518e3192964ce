"""`midstream serve`, `settings` and `demo`: servers, before they run."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from services.cli.commands.arguments import Json
from services.cli.servers import SERVERS

_SERVERS_HELP: Final = (
    f"Servers to start: {', '.join(SERVERS)}. Without any, those that are not of the power desk, and the simulators of "
    "what no setting names."
)


def serve(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=_SERVERS_HELP)] = None,
) -> None:
    """Keep servers up, with an embedded Redis unless MIDSTREAM_REDIS_URL names one."""
    from services.cli.environment import check_environment, take_stored_settings
    from services.cli.serve_command import run_serve

    unknown = [name for name in names or () if name not in SERVERS]
    if unknown:
        raise typer.BadParameter(f"there is no server {unknown[0]!r}; there are {', '.join(SERVERS)}")
    take_stored_settings()
    check_environment()
    raise typer.Exit(run_serve(names or ()))


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


def healthcheck(
    service: Annotated[
        str,
        typer.Argument(metavar="[SERVICE]", help="A server's name or a gRPC service's; by default every server here."),
    ] = "",
    live: Annotated[bool, typer.Option("--live", help="Only whether the process answers at all.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for all answers together.", min=0.01, max=60)] = 2.0,
) -> None:
    """Tell whether servers of this machine serve: exit code 0, or 1 when one does not or is silent."""
    from services.cli.healthcheck import HealthQuestion, ask

    raise typer.Exit(ask(HealthQuestion(service, live, timeout)))


def demo() -> None:
    """Play the sample data, historical, live and back, and print a summary (`make run`)."""
    from services.cli.demo_command import run_demo

    raise typer.Exit(run_demo())


def doctor(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Servers to look at; as `serve` without any.")
    ] = None,
    json: Json = False,
) -> None:
    """Tell what is wrong with this machine or these settings, each with its fix. Ends with 1 when something has to be mended."""
    from services.cli.doctor.examination import run_doctor

    unknown = [name for name in names or () if name not in SERVERS]
    if unknown:
        raise typer.BadParameter(f"there is no server {unknown[0]!r}; there are {', '.join(SERVERS)}")
    usual = [name for name, server in SERVERS.items() if server.in_default]
    raise typer.Exit(run_doctor(names or usual, as_json=json))
