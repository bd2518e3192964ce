"""Tell a variable that no setting has from one that some server reads, and say which was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from clients.exchanges.names import EXCHANGES, url_variable
from services.runtime.setting_names import NAMES

PREFIX: Final = "MIDSTREAM_"
STRICT: Final = "MIDSTREAM_STRICT"

OF_TESTS: Final = frozenset(
    {
        "MIDSTREAM_SEED",
        "MIDSTREAM_SHARED",
        "MIDSTREAM_TEST_PROFILE",
        "MIDSTREAM_TEST_REDIS",
        "MIDSTREAM_WRITE_GOLDEN",
    }
)
"""Read by the test suite; servers that it starts inherit them."""


def is_strict(environment: Mapping[str, str]) -> bool:
    """Tell whether an unknown variable is refused; read before the settings are, because they may be unusable."""
    return environment.get(STRICT, "").strip().lower() in ("1", "on", "true", "yes")


def unknown_settings(environment: Mapping[str, str], own: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that no setting has, each with the nearest name that one has; empty where none is near.

    `own` are names known to the caller. Settings are read without regard to case, so case does not count here either.
    """
    known = {*NAMES, *OF_TESTS, *own, *map(url_variable, EXCHANGES)}
    names = [name for name in environment if name.upper().startswith(PREFIX)]
    # Importing what is an exchange's takes a tenth of a second, which only a name that is not known otherwise is worth: all that
    # `midstream serve` says of the simulators is known by now.
    for more in (_keys, _addresses):
        if all(name.upper() in known for name in names):
            return {}
        known.update(name for exchange in EXCHANGES for name in more(exchange))
    wrong = [name for name in names if name.upper() not in known]
    return {name: next(iter(difflib.get_close_matches(name.upper(), known, n=1)), "") for name in sorted(wrong)}


def unknown_line(name: str, nearest: str) -> str:
    """Say it to a person."""
    hint = f"did you mean {nearest}? " if nearest else ""
    return f"{name} is no setting; {hint}`midstream settings` lists them all"


def _keys(exchange: str) -> Iterable[str]:
    from clients.secrets.environment import variables_of

    return variables_of(exchange)


def _addresses(exchange: str) -> Iterable[str]:
    from clients.exchanges.registry import settings_class

    return {PREFIX + field.upper() for field in settings_class(exchange).model_fields}
