"""URLs of clusters, and where a command belongs."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from services.runtime.cluster.slots import Address, Slots, addresses, is_elsewhere, keys_of, node_urls, slot_of
from services.runtime.connection import connect, redacted
from services.runtime.errors import Bug, StartRefused
from services.runtime.redis_tls import exposure, secured
from services.runtime.session.keys import SessionKeys


def test_url_of_a_cluster_names_nodes_that_share_user_password_and_tls() -> None:
    url = "rediss+cluster://me:secret@a.example:7001,[::1]:7002,b/0?ssl_ca_certs=/x/ca.pem"

    assert addresses(url) == [Address("a.example", 7001), Address("::1", 7002), Address("b", 6379)]
    assert node_urls(url) == [
        "rediss://me:secret@a.example:7001/0?ssl_ca_certs=/x/ca.pem",
        "rediss://me:secret@[::1]:7002/0?ssl_ca_certs=/x/ca.pem",
        "rediss://me:secret@b:6379/0?ssl_ca_certs=/x/ca.pem",
    ]
    assert node_urls("redis://h/3") == ["redis://h/3"]
    assert "secret" not in redacted(f"{url}: refused")
    assert "a.example:7001,[::1]:7002,b/0" in redacted(url)


@pytest.mark.parametrize("hosts", ["", "h:x", "h:0", "h:1,,g:2", "h:70000", "h:1/3"])
def test_url_of_a_cluster_that_cannot_be_used_is_refused_with_what_to_write(hosts: str) -> None:
    with pytest.raises(StartRefused, match=r"redis\+cluster://HOST:PORT"):
        connect(f"redis+cluster://{hosts}", client_name="test")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis+cluster://127.0.0.1:1,localhost:2", ""),
        ("redis+cluster://127.0.0.1:1,10.0.0.7:2", "10.0.0.7:2 is beyond this machine, without TLS"),
        ("rediss+cluster://10.0.0.7:2", "without a password"),
        ("rediss+cluster://me:secret@10.0.0.7:2", ""),
        ("rediss+cluster://me:secret@10.0.0.7:2?ssl_cert_reqs=none", "without verifying"),
    ],
)
def test_every_node_of_a_cluster_is_held_to_what_holds_for_one_redis(url: str, told: str) -> None:
    assert told in exposure(url)
    assert bool(told) == bool(exposure(url))


def test_files_of_tls_go_into_the_url_of_a_cluster(tmp_path: Any) -> None:
    (tmp_path / "ca.pem").touch()

    url = secured("rediss+cluster://a:1,b:2", {"MIDSTREAM_REDIS_CA": tmp_path / "ca.pem"})

    assert [node.partition("?")[2] for node in node_urls(url)] == [
        f"ssl_ca_certs={tmp_path}/ca.pem".replace("/", "%2F")
    ] * 2
    with pytest.raises(ValueError, match=r"MIDSTREAM_REDIS_URL is redis\+cluster://"):
        secured("redis+cluster://a:1", {"MIDSTREAM_REDIS_CA": tmp_path / "ca.pem"})


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("GET", "k"), ["k"]),
        (("XADD", b"k", "*", "b", b"x"), [b"k"]),
        (("DEL", "k", "l"), ["k", "l"]),
        (("WATCH", "k", "l"), ["k", "l"]),
        (("XGROUP CREATE", "k", "g", "0"), ["k"]),
        (("XGROUP", "CREATE", "k", "g", "0"), ["k"]),
        (("XINFO GROUPS", "k"), ["k"]),
        (("EVAL", "return 1", 2, "k", "l", "argument"), ["k", "l"]),
        (("EVALSHA", "abc", "0"), []),
        (("XREAD", "COUNT", 1, "STREAMS", "k", "l", "0", "0"), ["k", "l"]),
        (("XREADGROUP", "GROUP", "g", "c", b"STREAMS", "k", ">"), ["k"]),
        (("CLIENT LIST",), ()),
        (("INFO", "server"), ()),
    ],
)
def test_keys_of_a_command_are_found(command: tuple[Any, ...], keys: Any) -> None:
    assert keys_of(command) == keys


def test_keys_of_one_session_and_partition_share_a_slot_and_others_are_refused() -> None:
    keys = SessionKeys("s", 3)

    assert slot_of(
        [keys.ticks, keys.fence, keys.lease, keys.checkpoint, keys.effects, keys.sinks, keys.mids, keys.latest]
    )
    assert slot_of([keys.control, keys.requests, keys.intended, keys.state, keys.definition])
    with pytest.raises(Bug, match="2 slots"):
        slot_of([keys.ticks, keys.state])
    with pytest.raises(Bug, match="each of `primaries`"):
        keys_of(("SCAN", 0))


def test_table_of_slots_tells_owners_and_gaps() -> None:
    slots = Slots.parse(
        [[0, 9, [b"", 1, b"id"], [b"r", 2, b"id"]], [20, 29, [b"h", 3, b"id"]], [30, 30, [b"?", 4, b"id"]]],
        Address("me", 1),
    )

    assert slots.owner(9) == Address("me", 1)
    assert slots.owner(20) == Address("h", 3)
    assert slots.owner(10) is slots.owner(30) is None
    assert slots.primaries == [Address("me", 1), Address("h", 3)]


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (redis.exceptions.MovedError("5 h:1"), True),
        (redis.exceptions.AskError("5 h:1"), True),
        (redis.exceptions.TryAgainError("Multiple keys request during rehashing of slot"), True),
        (redis.exceptions.ClusterDownError("Hash slot not served"), True),
        (redis.exceptions.MasterDownError("Link with MASTER is down"), True),
        (redis.exceptions.ReadOnlyError("You can't write against a read only replica."), True),
        (redis.exceptions.ExecAbortError("Transaction discarded because of: MOVED 5 h:1"), True),
        (redis.exceptions.ExecAbortError("Transaction discarded because of: CLUSTERDOWN x"), True),
        (redis.ResponseError("MOVED 5 h:1"), True),
        (redis.exceptions.OutOfMemoryError("command not allowed"), False),
        (redis.exceptions.ExecAbortError("Transaction discarded because of previous errors."), False),
        (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), False),
        (redis.ResponseError("WRONGTYPE"), False),
        (redis.ConnectionError("gone"), False),
    ],
)
def test_refusals_that_mean_elsewhere_are_told_from_others(error: Exception, elsewhere: bool) -> None:
    assert is_elsewhere(error) is elsewhere
