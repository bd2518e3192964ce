"""Sensitive settings from Parameter Store: what is taken, what is left, and what is said. The store is a function here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from clients.exchanges.names import EXCHANGES
from clients.secrets import SecretRefused, SecretUnavailable
from services.cli.settings_catalogue import settings_of
from services.runtime import parameters
from services.runtime.errors import StartPostponed, StartRefused
from services.runtime.parameters import Taken, sensitive_names, take_parameters

PATH = "/midstream/prod/orders"
CANARY = "canary-value-8812"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "_taken", None)


def storing(values: Mapping[str, str]) -> Callable[[str], Mapping[str, str]]:
    return lambda path: values if path.rstrip("/") == PATH else {}


def take(values: Mapping[str, str], **environment: str) -> tuple[Taken, dict[str, str]]:
    there = {"MIDSTREAM_PARAMETERS": PATH, **environment}
    found = take_parameters(there, storing(values))
    assert found is not None
    return found, there


def test_without_a_path_nothing_is_asked() -> None:
    def never(path: str) -> Mapping[str, str]:
        raise AssertionError(path)

    for environment in ({}, {"MIDSTREAM_PARAMETERS": ""}):
        assert take_parameters(environment, never) is None


def test_each_sensitive_setting_is_taken_and_the_path_is_handed_to_nobody() -> None:
    values = {name: f"{CANARY}-{name}" for name in sensitive_names()}

    found, environment = take(values)

    assert environment == values
    assert set(found.names) == sensitive_names()
    assert found.odd == ()
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("MIDSTREAM_DATABASE_URL", "MIDSTREAM_DATABASE_URL"),
        ("MIDSTREAM_DATABASE_URL", "midstream_database_url"),
        ("MIDSTREAM_KEYS_SECRET", "MIDSTREAM_KEYS_SECRET_FILE"),
        ("MIDSTREAM_BINANCE_API_SECRET", "MIDSTREAM_BINANCE_API_SECRET_FILE"),
        ("MIDSTREAM_BINANCE_API_KEY", "MIDSTREAM_BINANCE_SSM_PATH"),
    ],
)
@pytest.mark.parametrize("value", ["mine", ""])
def test_the_environment_wins_in_whatever_way_it_gives_a_setting(name: str, given: str, value: str) -> None:
    found, environment = take({name: CANARY, "MIDSTREAM_REDIS_URL": "redis://there"}, **{given: value})

    assert environment == {given: value, "MIDSTREAM_REDIS_URL": "redis://there"}
    assert found.names == ("MIDSTREAM_REDIS_URL",)


def test_the_key_of_one_exchange_does_not_keep_out_anothers() -> None:
    _, environment = take({"MIDSTREAM_BITMEX_API_KEY": CANARY}, MIDSTREAM_BINANCE_SSM_PATH="/midstream/binance")

    assert environment["MIDSTREAM_BITMEX_API_KEY"] == CANARY


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MIDSTREAM_DATABSE_URL", "did you mean MIDSTREAM_DATABASE_URL?"),
        ("midstream_redis_url", "did you mean MIDSTREAM_REDIS_URL?"),
        ("PATH", "is no sensitive setting; `midstream settings` says which are"),
        ("LD_PRELOAD", "is no sensitive setting"),
        ("MIDSTREAM_TRADING", "only sensitive settings come from there, set MIDSTREAM_TRADING in the environment"),
    ],
)
def test_what_is_no_sensitive_setting_is_named_and_does_nothing(name: str, said: str) -> None:
    found, environment = take({name: CANARY, "MIDSTREAM_API_KEY": "k"})

    assert environment == {"MIDSTREAM_API_KEY": "k"}
    (line,) = found.odd
    assert line.startswith(f"{PATH}/{name} is ")
    assert said in line
    assert CANARY not in line


def test_a_line_end_that_came_along_is_no_part_of_a_value() -> None:
    _, environment = take({"MIDSTREAM_API_KEY": "key\r\n"})

    assert environment["MIDSTREAM_API_KEY"] == "key"


def test_what_no_variable_can_hold_is_refused_without_showing_it() -> None:
    with pytest.raises(StartRefused, match=f"{PATH}/MIDSTREAM_API_KEY holds") as refusal:
        take({"MIDSTREAM_API_KEY": f"{CANARY}\0"})

    assert CANARY not in str(refusal.value)


def test_a_path_with_nothing_below_it_is_refused() -> None:
    with pytest.raises(StartRefused, match=f"nothing below {PATH}.*AWS_REGION"):
        take({})


def test_what_an_operator_must_do_is_a_refusal_and_what_passes_is_not() -> None:
    def refusing(path: str) -> Mapping[str, str]:
        raise SecretRefused("allow it")

    def away(path: str) -> Mapping[str, str]:
        raise SecretUnavailable("away")

    with pytest.raises(StartRefused, match="MIDSTREAM_PARAMETERS: allow it") as refusal:
        take_parameters({"MIDSTREAM_PARAMETERS": PATH}, refusing)
    with pytest.raises(StartPostponed, match="MIDSTREAM_PARAMETERS: away"):
        take_parameters({"MIDSTREAM_PARAMETERS": PATH}, away)
    assert not isinstance(refusal.value, StartPostponed)


def test_the_settings_that_are_marked_are_those_that_are_taken() -> None:
    marked = {name for each in settings_of() if each.sensitive for name in (each.name, *each.also)}

    assert marked == sensitive_names()
    assert {f"MIDSTREAM_{exchange.upper()}_API_SECRET" for exchange in EXCHANGES} <= marked
    assert {"MIDSTREAM_DATABASE_URL", "MIDSTREAM_REDIS_URL", "MIDSTREAM_API_KEY", "MIDSTREAM_KEYS_SECRET"} <= marked


def test_every_setting_that_sounds_secret_is_marked() -> None:
    # Files, paths and what only describes a key hold no secret themselves.
    harmless = ("_FILE", "_PATH", "_SSM_PATH", "TOKEN_", "_TLS_", "_CERT", "_CA", "REDIS_KEY", "_KEYS_URL")
    words = ("SECRET", "PASSWORD", "API_KEY", "DATABASE_URL", "REDIS_URL")

    missing = [
        each.name
        for each in settings_of()
        if any(word in each.name for word in words) and not any(word in each.name for word in harmless)
        if not each.sensitive
    ]
    assert missing == []
