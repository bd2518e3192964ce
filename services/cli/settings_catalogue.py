"""Every setting there is, read from the models that the servers read them with."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from clients.exchanges.names import EXCHANGES
from clients.exchanges.registry import settings_class
from clients.exchanges.settings import ExchangeSettings
from clients.secrets.environment import variables_of
from services.cli.connection_settings import ConnectionSettings
from services.control.config import ControlSettings
from services.health.config import HealthSettings
from services.orders.config import OrdersSettings
from services.power.etl.config import EtlSettings
from services.power.listener.config import DealListenerSettings
from services.price.config import PriceSettings
from services.replay.config import ReplaySettings
from services.reporting.config import ReportingSettings
from services.runtime import faults
from services.runtime.call_limit_settings import CallLimitSettings
from services.runtime.setting_problems import environment_names, legal_values
from services.runtime.settings import ProcessSettings, ServerSettings, SessionSettings
from services.simulators.binance.__main__ import BinanceSimSettings
from services.simulators.bitmex.__main__ import BitmexSimSettings
from services.simulators.bybit.__main__ import BybitSimSettings
from services.simulators.feed import FeedSettings
from services.simulators.market_data.config import ProviderSettings
from services.simulators.power_exchange.config import PowerExchangeSettings

MODELS: Final[Mapping[str, type[ProcessSettings]]] = {
    "replay": ReplaySettings,
    "control": ControlSettings,
    "price": PriceSettings,
    "health": HealthSettings,
    "orders": OrdersSettings,
    "reporting": ReportingSettings,
    "power-listener": DealListenerSettings,
    "power-etl": EtlSettings,
    "sim-feed": FeedSettings,
    "sim-binance": BinanceSimSettings,
    "sim-bitmex": BitmexSimSettings,
    "sim-bybit": BybitSimSettings,
    "sim-power-exchange": PowerExchangeSettings,
    "sim-market-data": ProviderSettings,
}
"""By the names of `midstream serve`."""

EVERYWHERE: Final = "every server"
CALLERS: Final = "commands that call servers"
EXCHANGES_OF: Final = ("replay", "price", "orders")
"""Servers that talk to exchanges."""

_SHARED: Final = (ProcessSettings, CallLimitSettings, ServerSettings, SessionSettings)
_ROOT: Final = Path(__file__).resolve().parents[2]
# The sentences of these stand in code that no model describes.
_FIXED_LEGAL: Final = {"_FILE": "a path", "_SSM_PATH": "a path in Parameter Store", "_ONCE": "a path"}


@dataclass(frozen=True)
class Setting:
    """One setting, as one group of servers reads it."""

    group: str
    """`every server`, the name of one, or the exchange that it is about."""
    name: str
    also: tuple[str, ...]
    """Other names, which count when the first is not set."""
    default: str
    """Empty: none."""
    required: bool
    legal: str
    sentence: str
    servers: tuple[str, ...]
    sensitive: bool = False
    """Never shown, and may lie in Parameter Store: a field with `repr=False` or a SecretStr, and an exchange's key."""


def settings_of(server: str | None = None) -> list[Setting]:
    """Return every setting, or those of one server: what all have alike first, then each one's own, then the exchanges'."""
    found: dict[tuple[str, str], Setting] = {}
    for each in _all():
        if server is not None and server not in each.servers:
            continue
        before = found.get((each.group, each.name))
        servers = each.servers if before is None else (*before.servers, *each.servers)
        found[each.group, each.name] = replace(each, servers=tuple(dict.fromkeys(servers)))
    order = list(dict.fromkeys([EVERYWHERE, *MODELS, *(each.group for each in found.values())]))
    return sorted(found.values(), key=lambda each: order.index(each.group))


def names() -> frozenset[str]:
    """Return the names that do not depend on which exchanges there are."""
    return frozenset(
        name for each in settings_of() if each.group not in _exchange_groups() for name in (each.name, *each.also)
    )


def sensitive() -> frozenset[str]:
    """Return those of `names` that are sensitive."""
    return names() & {name for each in settings_of() if each.sensitive for name in (each.name, *each.also)}


def _exchange_groups() -> tuple[str, ...]:
    return tuple(_group(name) for name in EXCHANGES)


def _group(exchange: str) -> str:
    return f"exchange {exchange}"


def _all() -> Iterator[Setting]:
    for server, model in MODELS.items():
        for field, info in model.model_fields.items():
            owner = _owner(model, field)
            yield _setting(EVERYWHERE if owner in _SHARED else server, owner, field, info, (server,))
    for field, info in ConnectionSettings.model_fields.items():
        if field not in ServerSettings.model_fields:
            yield _setting(CALLERS, ConnectionSettings, field, info, ())
    every = tuple(MODELS)
    for name, sentence in faults.VARIABLES.items():
        yield Setting(EVERYWHERE, name, (), "", False, _fixed_legal(name), sentence, every)
    for exchange in EXCHANGES:
        model_of = settings_class(exchange)
        for field, info in model_of.model_fields.items():
            owner = _owner(model_of, field)
            group = EVERYWHERE if owner is ExchangeSettings else _group(exchange)
            yield _setting(group, owner, field, info, EXCHANGES_OF)
        for name, sentence in variables_of(exchange).items():
            sensitive = not name.endswith(("_FILE", "_PATH"))
            yield Setting(_group(exchange), name, (), "", False, _fixed_legal(name), sentence, EXCHANGES_OF, sensitive)


def _setting(group: str, owner: type[BaseSettings], field: str, info: FieldInfo, servers: tuple[str, ...]) -> Setting:
    name, *also = environment_names(field, info)
    said = (_sentences(each).get(field) for each in owner.__mro__ if field in _fields_of(each))
    sentence = next(filter(None, said), "")
    # Other addresses of exchanges hold no secret: what is secret about an exchange is its key.
    sensitive = group not in _exchange_groups() and (not info.repr or SecretStr in get_args(info.annotation))
    return Setting(
        group, name, tuple(also), _shown(info), info.is_required(), legal_values(info), sentence, servers, sensitive
    )


def _owner(model: type[BaseSettings], field: str) -> type[BaseSettings]:
    """Return the class that says what a field means: the one whose default and name are in force."""
    return next(each for each in model.__mro__ if field in _fields_of(each))


def _fields_of(model: type) -> Mapping[str, object]:
    fields: Mapping[str, object] = vars(model).get("__annotations__", {})
    return fields


@functools.cache
def _sentences(model: type) -> dict[str, str]:
    """Return the sentence below each field of a class. Read here from the source, so that no server pays for it at its start."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value) if isinstance(below.value, ast.Constant) else ""
            found[field.target.id] = " ".join(str(text).split())
    return found


def _shown(info: FieldInfo) -> str:
    value = None if info.is_required() else info.get_default(call_default_factory=True)
    match value:
        case None:
            return ""
        case bool():
            return "on" if value else "off"
        case tuple():
            return ",".join(str(part) for part in value)
        case Path() if value.is_relative_to(_ROOT):
            # A path of this checkout, whatever it is called.
            return value.relative_to(_ROOT).as_posix()
        case float() | Decimal():
            return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
    return str(value)


def _fixed_legal(name: str) -> str:
    return next((legal for ending, legal in _FIXED_LEGAL.items() if name.endswith(ending)), "text")
