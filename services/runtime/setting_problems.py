"""What settings are called in the environment, and one line for each that is not usable."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, Literal, get_args, get_origin

import annotated_types
from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from services.runtime.connection import redacted
from services.runtime.known_settings import unknown_line, unknown_settings

PREFIX: Final = "MIDSTREAM_"

REDIS_URL_FIX: Final = (
    "is not set; start Redis and set MIDSTREAM_REDIS_URL=redis://127.0.0.1:6379/0, "
    "or run `midstream serve`, which brings its own Redis"
)

_NOUNS: Final[Mapping[type, str]] = {
    bool: "on or off",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    Path: "a path",
}


def unknown_lines(settings_class: type[BaseSettings]) -> list[str]:
    """Return one line per variable of the environment that neither this class nor any other setting has."""
    return [unknown_line(*each) for each in unknown_settings(os.environ, names_of(settings_class)).items()]


def names_of(settings_class: type[BaseSettings]) -> set[str]:
    """Return the variables that a class reads, under all of their names; those of the fields themselves are read, too."""
    fields = settings_class.model_fields
    return {name for field in fields for name in (PREFIX + field.upper(), *environment_names(field, fields[field]))}


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
        lines.setdefault(name, f"{name}: {problem}{_given(field, detail.get('input'))}{legal}")
    return list(lines.values())


def _given(field: FieldInfo | None, value: object) -> str:
    """Return what was given, in brackets; nothing where it is about several settings: that would be all of them, passwords and all."""
    if field is None:
        return ""
    return " (not shown)" if _is_hidden(field, value) else f" (got {_shown(value)})"


def _is_hidden(field: FieldInfo, value: object) -> bool:
    """Tell whether a value may not be shown. Of a sensitive one that is an address, all but the password is."""
    return SecretStr in get_args(field.annotation) or (not field.repr and "://" not in str(value))


def _find(settings_class: type[BaseSettings], location: str) -> tuple[str, FieldInfo | None]:
    """Return the environment name and the field behind an error's location, which may be a field name or an alias."""
    for name, field in settings_class.model_fields.items():
        alias = environment_name(name, field)
        if location.lower() in (name.lower(), alias.lower()):
            return alias, field
    return location or PREFIX.rstrip("_"), None


def environment_name(name: str, field: FieldInfo) -> str:
    """Return the environment variable of a field; the first where several will do."""
    return environment_names(name, field)[0]


def environment_names(name: str, field: FieldInfo) -> tuple[str, ...]:
    """Return the environment variables of a field, the one that wins first."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (alias if isinstance(alias, str) else PREFIX + name.upper(),)


def _shown(value: object) -> str:
    text = repr(redacted(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _legal(field: FieldInfo | None) -> str:
    return "see the documentation of this setting" if field is None else f"legal values: {legal_values(field)}"


def legal_values(field: FieldInfo) -> str:
    """Say which values a field takes."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(str(value) or "(empty)" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return "a list, separated by commas"
    members = [member for member in get_args(kind) if member is not type(None)]
    kind = members[0] if members else kind
    constraints = list(field.metadata)
    if get_origin(kind) is Annotated:
        kind, *within = get_args(kind)
        constraints += within
    bounds = [_bound(constraint) for constraint in constraints]
    return " ".join([_NOUNS.get(kind if isinstance(kind, type) else str, "text"), *filter(None, bounds)])


def _bound(constraint: object) -> str:
    match constraint:
        case annotated_types.Ge(ge=low):
            return f"from {low:.12g}"
        case annotated_types.Gt(gt=low):
            return f"above {low:.12g}"
        case annotated_types.Le(le=high):
            return f"up to {high:.12g}"
        case annotated_types.Lt(lt=high):
            return f"below {high:.12g}"
    return ""
