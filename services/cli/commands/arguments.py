"""Options that several commands have."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from services.cli.options import check_session


class TimeDebt(enum.StrEnum):
    """What happens when a replay falls behind its clock."""

    catch_up = "catch-up"
    stretch = "stretch"
    fail = "fail"


class FractionUnit(enum.StrEnum):
    """How a plain fraction of a second is read."""

    us = "us"


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
