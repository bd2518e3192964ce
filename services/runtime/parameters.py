"""Sensitive settings that lie in AWS Parameter Store: read once, at start, into the environment that settings are read from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from clients.exchanges.names import EXCHANGES
from clients.secrets.errors import SecretRefused, SecretUnavailable
from clients.secrets.parameter_path import ParameterPath
from services.runtime.errors import StartPostponed, StartRefused
from services.runtime.setting_names import NAMES, SENSITIVE

SETTING: Final = "MIDSTREAM_PARAMETERS"
ATTEMPTS: Final = 4
"""Of each request, with growing pauses: many servers that start together are throttled for some seconds."""

Read = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True)
class Taken:
    """What came of reading a path. Names only."""

    path: str
    names: tuple[str, ...] = ()
    """Settings that have their value from there."""
    odd: tuple[str, ...] = ()
    """One line for each parameter that is not used, because no sensitive setting has its name."""


_taken: Taken | None = None


def taken() -> Taken | None:
    """Return what this process has from Parameter Store; None where it was not asked to."""
    return _taken


def take_parameters(environment: MutableMapping[str, str], read: Read | None = None) -> Taken | None:
    """Add each sensitive setting that the environment does not have, from the path that MIDSTREAM_PARAMETERS names.

    The path is taken out of the environment: whoever is started with it has the values, and does not ask again. Raises
    StartRefused where an operator must act, StartPostponed where the store may answer later.
    """
    global _taken
    path = environment.get(SETTING, "")
    if not path:
        return None
    try:
        found = (read or _read)(path)
    except SecretRefused as exc:
        raise StartRefused(f"{SETTING}: {exc}") from exc
    except SecretUnavailable as exc:
        raise StartPostponed(f"{SETTING}: {exc}") from exc
    if not found:
        raise StartRefused(f"{SETTING}: Parameter Store has nothing below {path}; look at the path and at AWS_REGION")
    known = sensitive_names()
    given = {name.upper() for name in environment}
    values = {
        name: value.rstrip("\r\n")
        for name, value in sorted(found.items())
        if name in known and not given.intersection(_forms(name))
    }
    if unusable := [name for name, value in values.items() if "\0" in value]:
        raise StartRefused(f"{SETTING}: {path.rstrip('/')}/{unusable[0]} holds a character that no setting can have")
    environment.update(values)
    del environment[SETTING]
    odd = tuple(_odd_line(path.rstrip("/"), name, known) for name in sorted(found) if name not in known)
    _taken = Taken(path, tuple(values), odd)
    return _taken


def sensitive_names() -> frozenset[str]:
    """Return every setting that may lie in Parameter Store: those marked so in the models, and the keys of exchanges."""
    keys = (f"MIDSTREAM_{exchange.upper()}_API_{half}" for exchange in EXCHANGES for half in ("KEY", "SECRET"))
    return SENSITIVE.union(keys)


def _forms(name: str) -> set[str]:
    """Return the variables with which the environment gives a setting, in whatever way."""
    forms = {name, f"{name}_FILE"}
    for exchange in EXCHANGES:
        prefix = f"MIDSTREAM_{exchange.upper()}"
        if name.startswith(f"{prefix}_API_"):
            forms.add(f"{prefix}_SSM_PATH")
    return forms


def _odd_line(path: str, name: str, known: frozenset[str]) -> str:
    if name in NAMES:
        return f"{path}/{name} is not used: only sensitive settings come from there, set {name} in the environment"
    nearest = next(iter(difflib.get_close_matches(name.upper(), known, n=1)), "")
    hint = f"did you mean {nearest}? " if nearest else ""
    return f"{path}/{name} is no sensitive setting; {hint}`midstream settings` says which are"


def _read(path: str) -> Mapping[str, str]:
    return ParameterPath.open(path, attempts=ATTEMPTS).read()
