"""Where an exchange's key comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.secrets import ApiKey, FixedKey, KeySource, SecretRefused, key_source

KEY_ID = "canary-key-id-7f3a9c"
SECRET = "canary-secret-51be02"
KEY, KEY_FILE = "MIDSTREAM_BINANCE_API_KEY", "MIDSTREAM_BINANCE_API_KEY_FILE"
SEC, SEC_FILE = "MIDSTREAM_BINANCE_API_SECRET", "MIDSTREAM_BINANCE_API_SECRET_FILE"
SSM = "MIDSTREAM_BINANCE_SSM_PATH"


def secret_file(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.mark.quick
async def test_two_variables_make_a_key() -> None:
    source = key_source("binance", {KEY: KEY_ID, SEC: SECRET})

    assert source is not None
    assert await source.key() == ApiKey(KEY_ID, SECRET)
    assert SECRET not in repr(source)


async def test_each_half_may_come_from_a_file(tmp_path: Path) -> None:
    source = key_source("binance", {KEY: KEY_ID, SEC_FILE: secret_file(tmp_path, "secret", SECRET + "\n")})

    assert source is not None
    assert await source.key() == ApiKey(KEY_ID, SECRET)


def test_nothing_set_means_public_data_only() -> None:
    assert key_source("binance", {}) is None
    assert key_source("binance", {"MIDSTREAM_BITMEX_API_KEY": KEY_ID, "MIDSTREAM_BITMEX_API_SECRET": SECRET}) is None


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, KEY_ID)
    monkeypatch.setenv(SEC, SECRET)

    assert isinstance(key_source("binance"), FixedKey)


@pytest.mark.parametrize(
    ("environment", "missing"), [({KEY: KEY_ID}, SEC), ({SEC: SECRET}, KEY)], ids=["no secret", "no id"]
)
def test_half_a_key_is_refused_and_the_other_half_named(environment: dict[str, str], missing: str) -> None:
    with pytest.raises(SecretRefused, match=missing) as refusal:
        key_source("binance", environment)

    assert KEY_ID not in str(refusal.value)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    "environment",
    [
        {KEY: KEY_ID, KEY_FILE: "/nowhere", SEC: SECRET},
        {KEY: KEY_ID, SEC: SECRET, SSM: "/midstream/binance"},
        {SEC: SECRET, SSM: "/midstream/binance"},
    ],
    ids=["a value and a file", "values and a path", "one value and a path"],
)
def test_two_ways_at_once_are_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SecretRefused, match="keep one of them"):
        key_source("binance", environment)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretRefused, match="is empty"):
        key_source("binance", {KEY: KEY_ID, SEC_FILE: secret_file(tmp_path, "secret", "\n")})


def test_a_path_opens_parameter_store() -> None:
    opened: list[str] = []

    def store(path: str) -> KeySource:
        opened.append(path)
        return FixedKey(ApiKey(KEY_ID, SECRET))

    assert key_source("binance", {SSM: "/midstream/binance"}, parameter_store=store) is not None
    assert opened == ["/midstream/binance"]


@pytest.mark.parametrize("exchange", ["", "Binance", "a-b", "x" * 40])
def test_what_is_no_exchange_is_refused(exchange: str) -> None:
    with pytest.raises(ValueError, match="exchange"):
        key_source(exchange, {})
