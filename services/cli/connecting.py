"""How commands reach servers: options that are settings, too, and what a failed call means in their terms."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings

_File = Path | None
_OPTIONS: Final[dict[str, Any]] = {
    "cacert": Annotated[
        _File, typer.Option(help="Authorities that may have signed the server's certificate (MIDSTREAM_TLS_CA).")
    ],
    "cert": Annotated[_File, typer.Option(help="Certificate to show (MIDSTREAM_TLS_CLIENT_CERT).")],
    "key": Annotated[_File, typer.Option(help="Its private key (MIDSTREAM_TLS_CLIENT_KEY).")],
    "servername": Annotated[
        str | None, typer.Option(help="Name in the server's certificate (MIDSTREAM_TLS_SERVER_NAME).")
    ],
    "tls": Annotated[
        bool | None,
        typer.Option(
            "--tls/--plaintext", help="Speak TLS; by default where one of these says how.", show_default=False
        ),
    ],
}


def connecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection; it is called with what they and the environment say, as `channel`."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        given = {name: options.pop(name) for name in _OPTIONS}
        command(*arguments, channel=channel_settings(**given), **options)

    # What `channel` is need not be known here, as it comes with all of gRPC.
    written = {name: hint for name, hint in command.__annotations__.items() if name != "channel"}
    known = SimpleNamespace(__annotations__=written)
    hints = typing.get_type_hints(known, command.__globals__, include_extras=True)
    own = inspect.signature(command)
    kept = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in own.parameters.values()
        if parameter.name != "channel"
    ]
    # `--json` stands last everywhere.
    last = [kept.pop()] if kept and kept[-1].name == "json" else []
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    parameters = [*kept, *added, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in last)]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def channel_settings(
    *,
    cacert: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
    servername: str | None = None,
    tls: bool | None = None,
) -> ChannelSettings:
    """Return how to reach servers: what options say, else the environment. Exits with 2 and one line per problem."""
    # Only here: help has to come without waiting for these.
    from clients.rpc import ChannelSettings
    from services.cli.connection_settings import ConnectionSettings
    from services.runtime.settings import load

    given = {"tls_ca": cacert, "tls_client_cert": cert, "tls_client_key": key, "tls_server_name": servername}
    found = load(ConnectionSettings, **{name: value for name, value in given.items() if value is not None})
    # Whoever serves with TLS in this environment is called with it.
    speaks = tls if tls is not None else True if found.tls_cert is not None else None
    return ChannelSettings(
        tls=speaks,
        ca=found.tls_ca,
        cert=found.tls_client_cert,
        key=found.tls_client_key,
        server_name=found.tls_server_name,
        api_key=found.api_key.strip(),
    )
