"""Keys in Parameter Store: pages, decryption, cache, outage. The store is moto's."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from moto import mock_aws

from clients.secrets import ApiKey, ParameterStore, SecretRefused, SecretUnavailable, key_source
from tests.support.clock import FakeClock

KEY_ID = "canary-key-id-7f3a9c"
SECRET = "canary-secret-51be02"
PATH = "/midstream/binance"


class CountingClient:
    """Passes calls on to moto, counts them, and fails when told to."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.page_size: int | None = None
        self.hold: threading.Event | None = None

    def get_parameters_by_path(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        if self.hold is not None:
            self.hold.wait(10)
        if self.error is not None:
            raise self.error
        if self.page_size is not None:
            arguments = arguments | {"MaxResults": self.page_size}
        return self._inner.get_parameters_by_path(**arguments)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"no, because of {SECRET}"}}, "GetParametersByPath")


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingClient]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield CountingClient(boto3.client("ssm"))


def put(client: CountingClient, name: str, value: str) -> None:
    client._inner.put_parameter(Name=f"{PATH}/{name}", Value=value, Type="SecureString", Overwrite=True)


@pytest.fixture
def stored(ssm: CountingClient) -> CountingClient:
    put(ssm, "api_key", KEY_ID)
    put(ssm, "api_secret", SECRET)
    return ssm


def store(client: CountingClient, clock: FakeClock, **options: float) -> ParameterStore:
    return ParameterStore(client, PATH, monotonic_ns=clock.monotonic_ns, **options)


async def test_a_key_is_read_decrypted(stored: CountingClient, fake_clock: FakeClock) -> None:
    known = await store(stored, fake_clock).current()

    assert known.key == ApiKey(KEY_ID, SECRET)
    assert not known.stale
    assert stored.calls[0]["WithDecryption"] is True
    assert SECRET not in repr(known)


async def test_all_pages_are_read(stored: CountingClient, fake_clock: FakeClock) -> None:
    for number in range(7):
        put(stored, f"a_{number}", "something else")
    stored.page_size = 2

    assert await store(stored, fake_clock).key() == ApiKey(KEY_ID, SECRET)
    assert len(stored.calls) == 5


async def test_a_path_without_end_is_refused(stored: CountingClient, fake_clock: FakeClock) -> None:
    for number in range(30):
        put(stored, f"a_{number:02}", "something else")
    stored.page_size = 1

    with pytest.raises(SecretRefused, match="pages"):
        await store(stored, fake_clock).key()


async def test_a_key_is_asked_for_once_per_lifetime_and_a_rotated_one_found_after_it(
    stored: CountingClient, fake_clock: FakeClock
) -> None:
    source = store(stored, fake_clock, ttl_s=300.0)
    for _ in range(10):
        await source.key()
    assert len(stored.calls) == 1
    put(stored, "api_secret", "rotated-secret")
    fake_clock.advance(301.0)

    assert (await source.key()).reveal() == "rotated-secret"
    assert len(stored.calls) == 2


async def test_concurrent_callers_are_one_request(stored: CountingClient, fake_clock: FakeClock) -> None:
    source = store(stored, fake_clock)
    stored.hold = threading.Event()
    callers = [asyncio.create_task(source.key()) for _ in range(100)]
    await asyncio.sleep(0)
    stored.hold.set()

    await asyncio.gather(*callers)

    assert len(stored.calls) == 1


async def test_an_outage_gives_the_last_good_key_with_its_age_until_it_is_too_old(
    stored: CountingClient, fake_clock: FakeClock
) -> None:
    source = store(stored, fake_clock, ttl_s=300.0, age_s_max=3600.0)
    await source.key()
    stored.error = EndpointConnectionError(endpoint_url="https://ssm.example")

    fake_clock.advance(400.0)
    known = await source.current()
    fake_clock.advance(3300.0)

    assert known.stale
    assert known.age_s == pytest.approx(400.0)
    assert known.key == ApiKey(KEY_ID, SECRET)
    with pytest.raises(SecretUnavailable, match=PATH):
        await source.key()


async def test_a_store_that_is_away_is_not_asked_all_the_time_and_is_found_again(
    stored: CountingClient, fake_clock: FakeClock
) -> None:
    source = store(stored, fake_clock, retry_s=10.0)
    stored.error = refused("ThrottlingException")
    for _ in range(20):
        with pytest.raises(SecretUnavailable):
            await source.key()
    assert len(stored.calls) == 1
    stored.error = None
    fake_clock.advance(11.0)

    assert await source.key() == ApiKey(KEY_ID, SECRET)


@pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException", "ExpiredTokenException"])
async def test_a_permission_that_is_taken_away_ends_the_cached_key_too(
    stored: CountingClient, fake_clock: FakeClock, code: str
) -> None:
    source = store(stored, fake_clock, ttl_s=300.0)
    await source.key()
    stored.error = refused(code)
    fake_clock.advance(301.0)

    for _ in range(2):
        with pytest.raises(SecretRefused, match=code) as refusal:
            await source.key()
        assert SECRET not in str(refusal.value)
    # Nor does an outage bring it back.
    stored.error = refused("InternalServerError")
    fake_clock.advance(11.0)
    with pytest.raises(SecretUnavailable):
        await source.key()


async def test_missing_parameters_are_named(ssm: CountingClient, fake_clock: FakeClock) -> None:
    put(ssm, "api_key", KEY_ID)

    with pytest.raises(SecretRefused, match=f"{PATH}/api_secret") as refusal:
        await store(ssm, fake_clock).key()

    assert KEY_ID not in str(refusal.value)


async def test_missing_credentials_are_an_operators_business(stored: CountingClient, fake_clock: FakeClock) -> None:
    stored.error = NoCredentialsError()

    with pytest.raises(SecretRefused, match="credentials"):
        await store(stored, fake_clock).key()


@pytest.mark.parametrize("path", ["", "/", "midstream", "/a b", "/a/../b/*", "/" + "/".join("a" * 16)])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(SecretRefused, match="path"):
        ParameterStore(object(), path)


async def test_the_environment_opens_the_real_client(stored: CountingClient) -> None:
    source = key_source("binance", {"MIDSTREAM_BINANCE_SSM_PATH": PATH + "/"})

    assert source is not None
    assert await source.key() == ApiKey(KEY_ID, SECRET)


def test_without_a_region_the_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")

    with pytest.raises(SecretRefused, match="AWS_REGION"):
        ParameterStore.open(PATH)


def test_without_the_extra_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)

    with pytest.raises(SecretRefused, match=r"midstream\[aws\]"):
        ParameterStore.open(PATH)
