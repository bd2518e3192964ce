"""Settings of a server: one validated object, read from the environment once, all problems listed at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import annotated_types
from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.runtime.connection import redacted
from services.runtime.errors import InvalidRequest
from services.runtime.keys import check_session_name

PREFIX = "MIDSTREAM_"

REDIS_URL_FIX = (
    "is not set; start Redis and set MIDSTREAM_REDIS_URL=redis://127.0.0.1:6379/0, "
    "or run `midstream serve`, which brings its own Redis"
)


def split_commas(value: object) -> object:
    """Turn `a, b` into ("a", "b"); other types pass."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]
"""A comma-separated setting."""


def read_switch(value: object) -> object:
    """Turn on/off into a bool; other words are left for the validator to refuse."""
    if isinstance(value, str):
        return {"on": True, "off": False}.get(value.strip().lower(), value)
    return value


Switch = Annotated[bool, BeforeValidator(read_switch)]
"""An on/off setting."""


class ListenerSettings(BaseSettings):
    """What every process that listens needs to know. A subclass narrows `port`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        validate_default=False,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    host: str = "127.0.0.1"
    """Loopback: nothing here has authentication, so exposing it is a decision."""

    port: int = Field(default=0, ge=0, le=65535)
    """0 takes any free port; the ready file names it."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    log_format: Literal["json", "console"] = "json"

    ready_file: Path | None = None
    """Written when the server serves: how a supervisor learns ports and pid."""

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not value or any(character.isspace() or character == "/" for character in value):
            raise ValueError("must be a host name or an address, like 127.0.0.1")
        return value


class ServerSettings(ListenerSettings):
    """What every gRPC server needs to know, too. A server subclasses it (or `SessionSettings`) and narrows the ports."""

    metrics_port: int = Field(default=0, ge=0, le=65535)
    """As `port`, for the Prometheus exporter."""

    reflection: Switch = True
    """On, so that grpcurl works without protos; off hides the schema."""


class SessionSettings(ServerSettings):
    """What a server around a session's queue needs, too."""

    redis_url: str = Field(repr=False)
    """May hold a password: `redacted()` before it is shown anywhere."""

    session: str = "default"

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        if not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must be redis://HOST:PORT/0, rediss://HOST:PORT/0 or unix:///path/to/socket")
        return value

    @field_validator("session")
    @classmethod
    def _check_session(cls, value: str) -> str:
        try:
            return check_session_name(value)
        except InvalidRequest as exc:
            raise ValueError("must be 1 to 64 characters of A-Z a-z 0-9 . _ -") from exc


S = TypeVar("S", bound=BaseSettings)


def load(settings_class: type[S], **overrides: Any) -> S:
    """Return the settings; print every problem, one line each, and exit with 2 when there are any.

    `overrides` are field names and beat the environment.
    """
    try:
        return settings_class(**overrides)
    except ValidationError as exc:
        for line in problems(settings_class, exc):
            print(line, file=sys.stderr)  # noqa: T201  (the user's one look at it; logs are not configured yet)
        raise SystemExit(2) from None


def problems(settings_class: type[BaseSettings], error: ValidationError) -> list[str]:
    """Return one line per unusable setting: name, what is wrong, the value, what would be legal."""
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=True, include_input=True):
        location = str(detail["loc"][0]) if detail["loc"] else ""
        name, field = _find(settings_class, location)
        if detail["type"] == "missing":
            problem = REDIS_URL_FIX if name == PREFIX + "REDIS_URL" else f"is not set; {_legal(field)}"
            lines.setdefault(name, f"{name}: {problem}")
            continue
        own = detail["type"] in ("value_error", "assertion_error")
        problem = detail["msg"].removeprefix("Value error, ") if own else "is not usable"
        legal = "" if own else f"; {_legal(field)}"
        lines.setdefault(name, f"{name}: {problem} (got {_shown(detail.get('input'))}){legal}")
    return list(lines.values())


def _find(settings_class: type[BaseSettings], location: str) -> tuple[str, FieldInfo | None]:
    """Return the environment name and the field behind an error's location, which may be a field name or an alias."""
    for name, field in settings_class.model_fields.items():
        alias = environment_name(name, field)
        if location.lower() in (name.lower(), alias.lower()):
            return alias, field
    return location or PREFIX.rstrip("_"), None


def environment_name(name: str, field: FieldInfo) -> str:
    """Return the environment variable of a field; the first where several will do."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = str(alias.choices[0])
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def _shown(value: object) -> str:
    text = repr(redacted(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _legal(field: FieldInfo | None) -> str:
    """Say which values a field takes."""
    if field is None:
        return "see the documentation of this setting"
    kind = field.annotation
    if get_origin(kind) is Literal:
        return "legal values: " + ", ".join(str(value) or "(empty)" for value in get_args(kind))
    members = [member for member in get_args(kind) if member is not type(None)]
    kind = members[0] if members and get_origin(kind) is not tuple else kind
    noun = {bool: "on or off", int: "a whole number", float: "a number", Path: "a path", str: "text"}.get(
        kind if isinstance(kind, type) else str, "text"
    )
    bounds = [_bound(constraint) for constraint in field.metadata]
    return "legal values: " + " ".join([noun, *filter(None, bounds)])


def _bound(constraint: object) -> str:
    match constraint:
        case annotated_types.Ge(ge=low):
            return f"from {low}"
        case annotated_types.Gt(gt=low):
            return f"above {low}"
        case annotated_types.Le(le=high):
            return f"up to {high}"
        case annotated_types.Lt(lt=high):
            return f"below {high}"
    return ""
