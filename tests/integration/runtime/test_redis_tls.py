"""rediss:// carries the queue, verifies whom it talks to, and says in one sentence what is wrong."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services.replay.queue.errors import RedisRefused
from services.runtime.connection import connect, connect_async
from services.runtime.redis_tls import secured
from tests.integration.replay.queue.harness import Reader, connected, producing
from tests.support.tls import Authority
from tests.support.tls_redis import TlsRedis, tls_redis

pytestmark = pytest.mark.needs("redis-server")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with tls_redis(tmp_path_factory.mktemp("tls")) as started:
        yield started


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with tls_redis(tmp_path_factory.mktemp("mtls"), wants_certificate=True) as started:
        yield started


async def _both(url: str) -> list[str]:
    """Ping as a thread does and as an event loop does; return what each says."""
    said = []
    client = connect(url, client_name="test", timeout_s=2.0)
    try:
        said.append(str(client.ping()))
    except redis.ConnectionError as exc:
        said.append(f"{type(exc).__name__}: {exc}")
    finally:
        client.close()
    other = connect_async(url, client_name="test", timeout_s=2.0)
    try:
        said.append(str(await other.ping()))
    except redis.ConnectionError as exc:
        said.append(f"{type(exc).__name__}: {exc}")
    finally:
        await other.aclose()
    return said


def test_queue_goes_through_tls(server: TlsRedis, session_name: str) -> None:
    url = secured(server.url(), {"MIDSTREAM_REDIS_CA": server.ca})

    # 300 kB an entry, which no socket takes at once.
    with producing(url, session_name, padding=10_000) as producer, connected(url) as client:
        reader = Reader(client, producer.keys, "g")
        producer.publish_all(20)
        while reader.read():
            pass

    assert reader.last == 200


async def test_client_certificate_lets_in(strict: TlsRedis, tmp_path: Path) -> None:
    cert, key = strict.authority.pair("client").write(tmp_path, "client")

    url = secured(
        strict.url(), {"MIDSTREAM_REDIS_CA": strict.ca, "MIDSTREAM_REDIS_CERT": cert, "MIDSTREAM_REDIS_KEY": key}
    )

    assert await _both(url) == ["True", "True"]


async def test_server_that_wants_a_certificate_says_so(strict: TlsRedis, tmp_path: Path) -> None:
    without = await _both(strict.url(ssl_ca_certs=strict.ca))
    cert, key = Authority().pair("client").write(tmp_path, "stranger")
    wrong = await _both(strict.url(ssl_ca_certs=strict.ca, ssl_certfile=cert, ssl_keyfile=key))

    for said in without:
        assert said.startswith("TlsTrouble: Redis at localhost:")
        assert said.endswith("wants a client certificate: set MIDSTREAM_REDIS_CERT and MIDSTREAM_REDIS_KEY")
    for said in wrong:
        assert f"does not take our certificate {cert}" in said


async def test_authority_that_is_not_trusted_is_named_with_the_setting(server: TlsRedis, tmp_path: Path) -> None:
    other = Authority().write(tmp_path)

    for url, trusted in ((server.url(), "the system's"), (server.url(ssl_ca_certs=other), f"those in {other}")):
        for said in await _both(url):
            assert "is from an authority that is not trusted here" in said
            assert f"trusted are {trusted}: set MIDSTREAM_REDIS_CA" in said
            assert "\n" not in said


async def test_certificate_for_another_name_is_refused(server: TlsRedis) -> None:
    for said in await _both(server.url(host="127.0.0.1", ssl_ca_certs=server.ca)):
        assert "is for another name" in said
        assert "use a name from the certificate in MIDSTREAM_REDIS_URL" in said


async def test_plain_url_of_a_tls_port_and_the_reverse(server: TlsRedis) -> None:
    for said in await _both(f"redis://localhost:{server.port}/0"):
        assert (
            said
            == f"TlsTrouble: Redis at localhost:{server.port} speaks TLS only: write rediss:// instead of redis:// in the URL"
        )
    for said in await _both(f"rediss://localhost:{server.plain_port}/0"):
        assert f"Redis at localhost:{server.plain_port} does not speak TLS: write redis://" in said


async def test_tls_below_1_2_is_not_spoken(tmp_path: Path, server: TlsRedis) -> None:
    url = server.url(ssl_ca_certs=server.ca, ssl_min_version=int(ssl.TLSVersion.TLSv1))
    client = connect(url, client_name="test")
    connection = client.connection_pool.make_connection()
    assert connection.ssl_min_version == ssl.TLSVersion.TLSv1_2

    connection = connect_async(url, client_name="test").connection_pool.make_connection()
    assert connection.min_version == ssl.TLSVersion.TLSv1_2


async def test_file_that_is_none_is_named(server: TlsRedis, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    cert, _ = server.authority.pair("client").write(tmp_path, "one")
    _, key = server.authority.pair("client").write(tmp_path, "two")

    assert "no certificate or crl found" in (await _both(server.url(ssl_ca_certs=tmp_path / "empty.pem")))[0]
    mismatched = server.url(ssl_ca_certs=server.ca, ssl_certfile=cert, ssl_keyfile=key)
    assert (
        f"key values mismatch): authorities {server.ca}, certificate {cert}, key {key}" in (await _both(mismatched))[1]
    )


async def test_trouble_that_is_not_of_tls_keeps_its_words(server: TlsRedis) -> None:
    for said in await _both("rediss://localhost:1/0"):
        assert said.startswith("ConnectionError: Error 111")
    for said in await _both(server.url(ssl_ca_certs=server.ca).replace("//localhost", "//:wrong@localhost")):
        assert said.startswith("AuthenticationError")


def test_producer_that_begins_is_refused_and_one_that_was_well_waits(tmp_path: Path, session_name: str) -> None:
    with tls_redis(tmp_path) as server:
        with pytest.raises(RedisRefused, match="set MIDSTREAM_REDIS_CA"), producing(server.url(), session_name):
            pass

        with producing(server.url(ssl_ca_certs=server.ca), session_name) as producer:
            producer.publish_all(1)
            server.renew("elsewhere")
            troubles: list[str] = []

            def mend() -> None:
                troubles.append(producer.publisher.problem)
                server.renew("localhost")

            producer.on_wait = mend
            assert producer.adopt().next_sequence == 11

        assert "is for another name" in troubles[0]


def test_server_is_refused_in_one_line_before_it_sends_a_password_in_the_clear() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.plain_server"],
        env={"PATH": "/usr/bin:/bin", "MIDSTREAM_REDIS_URL": "redis://:geheim@192.0.2.1:6379/0"},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "MIDSTREAM_REDIS_URL: 192.0.2.1:6379 is beyond this machine, without TLS (use rediss://)"
    )
    assert ended.stderr.count("\n") == 1
    assert "geheim" not in ended.stderr
