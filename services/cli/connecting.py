"""How commands reach servers: options that are settings, too, and what a failed call means in their terms."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from clients.rpc import ChannelSettings

Command = Callable[..., None]

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


def given(
    name: str, options: Mapping[str, tuple[Any, object]], read: Callable[..., object], *, before: str = ""
) -> Callable[[Command], Command]:
    """Return a decorator: in place of the parameter `name` a command has `options`, and is called with what `read` makes of them.

    Each option is its annotation and its default; they stand where the parameter stands, or before the parameter `before`.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(*arguments: Any, **values: Any) -> None:
            said = read(**{option: values.pop(option) for option in options})
            command(*arguments, **{name: said}, **values)

        own = inspect.signature(command)
        kept = _resolved(command, own, without=name)
        names = [parameter.name for parameter in kept]
        # Where nothing else is said, they take its place.
        place = (
            list(own.parameters).index(name) if not before else names.index(before) if before in names else len(kept)
        )
        kept[place:place] = [
            inspect.Parameter(option, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
            for option, (annotation, default) in options.items()
        ]
        run.__signature__ = own.replace(parameters=kept)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in kept}
        return run

    return decorate


def _resolved(command: Command, own: inspect.Signature, *, without: str) -> list[inspect.Parameter]:
    # What is left out need not be known here: `channel` comes with all of gRPC.
    written = {
        name: parameter.annotation for name, parameter in own.parameters.items() if name not in (without, "channel")
    }
    known = SimpleNamespace(__annotations__=written)
    hints = typing.get_type_hints(known, inspect.unwrap(command).__globals__, include_extras=True)
    return [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in own.parameters.items()
        if name != without
    ]


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


connecting = given(
    "channel", {name: (option, None) for name, option in _OPTIONS.items()}, channel_settings, before="json"
)
"""Give a command the options of a connection; it is called with what they and the environment say, as `channel`. `--json` stands last."""
