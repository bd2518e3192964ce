"""What a stage forbids: a server of `prod` that pretends, or is open, does not start, and real money is for `prod` alone.

The rules are those of the table in docs/operating_orders.md, for every server that has the setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_settings import BaseSettings

from services.runtime.setting_problems import environment_name

__all__ = ["PROD", "embedded_redis_problem", "stage_problems"]

PROD: Final = "prod"


@dataclass(frozen=True)
class Rule:
    """A value that a field must not have."""

    field: str
    wrong: Callable[[Any, BaseSettings], bool]
    """Of the field's value, and of all settings where one depends on another."""
    why: str
    """What is wrong and what to set; the setting's name comes before it."""


def _sqlite(url: Any, _: BaseSettings) -> bool:
    return str(url).startswith("sqlite")


def _sqlite_of_keys(url: Any, settings: BaseSettings) -> bool:
    # Orders always take keys; their own database is told by the rule above.
    asked = "keys" in getattr(settings, "auth", ()) and not hasattr(settings, "database_url")
    return asked and _sqlite(url, settings)


def _pretends(environment: Any, settings: BaseSettings) -> bool:
    # A server that talks to no exchange has no environment.
    return environment != PROD and getattr(settings, "price_exchanges", True) != ()


def _not_set(field: str) -> Callable[[Any, BaseSettings], bool]:
    return lambda _, settings: field not in settings.model_fields_set


PROD_FORBIDS: Final = (
    Rule(
        "simulates",
        lambda value, _: bool(value),
        "simulators have no place in prod: their prices would pass for real ones",
    ),
    Rule(
        "insecure",
        lambda value, _: bool(value),
        "never in prod: set MIDSTREAM_TLS_CERT, MIDSTREAM_TLS_KEY and MIDSTREAM_AUTH",
    ),
    Rule(
        "trading",
        lambda value, _: value in ("simulator", "testnet"),
        "in prod it is live, or dry-run, which sends nothing",
    ),
    Rule("exchanges", _pretends, "in prod it is prod: prices and orders of others would pass for real ones"),
    Rule("database_url", _sqlite, "SQLite is not for prod: use postgresql://..."),
    Rule(
        "keys_database_url",
        _sqlite_of_keys,
        "SQLite is not for prod, which has one database of keys: use postgresql://...",
    ),
    Rule(
        "redis_url",
        lambda value, _: not value,
        "in prod the limits of exchanges are shared by all processes: set redis://HOST:PORT/0 or rediss://HOST:PORT/0",
    ),
    Rule(
        "dead_man",
        lambda value, _: not value,
        "in prod it is on: exchanges must not keep orders of a process that is gone",
    ),
    Rule("docs", lambda value, _: bool(value), "in prod it is off: the description of all calls is nobody's business"),
    Rule("reflection", lambda value, _: bool(value), "in prod it is off: the schema of all calls is nobody's business"),
    Rule("power_url", _not_set("power_url"), "in prod it has to be set: its default is a simulator"),
    Rule("reference_url", _not_set("reference_url"), "in prod it has to be set: its default is a simulator"),
)
OTHERS_FORBID: Final = (
    Rule("trading", lambda value, _: value == "live", "only in prod: use testnet, simulator or dry-run here"),
)


def stage_problems(settings: BaseSettings) -> list[str]:
    """Return one line per setting that its stage forbids; none where no stage is named."""
    stage = getattr(settings, "stage", "")
    if not stage:
        return []
    fields = type(settings).model_fields
    problems = []
    for rule in PROD_FORBIDS if stage == PROD else OTHERS_FORBID:
        # What is no setting is a property of the class.
        field = fields.get(rule.field)
        value = getattr(settings, rule.field, None)
        if value is not None and rule.wrong(value, settings):
            name = environment_name(rule.field, field) if field is not None else "MIDSTREAM_STAGE"
            problems.append(f"{name}: {rule.why} (MIDSTREAM_STAGE={stage})")
    return problems


def embedded_redis_problem(environment: Mapping[str, str]) -> str:
    """Return why `midstream serve` must not bring a Redis of its own here; empty where it may."""
    if environment.get("MIDSTREAM_STAGE", "") != PROD:
        return ""
    return (
        "MIDSTREAM_REDIS_URL: the embedded Redis is not for prod, as it ends with this process and has no second copy: "
        f"set redis://HOST:PORT/0 or rediss://HOST:PORT/0 (MIDSTREAM_STAGE={PROD})"
    )
