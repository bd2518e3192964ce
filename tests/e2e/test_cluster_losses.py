"""The servers on a cluster that loses one primary after the other, in plain text and over TLS: whatever they do goes on."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.price.merged_logs import merge_logs
from services.runtime.redis_tls import secured
from services.runtime.session.keys import SessionKeys
from tests.e2e.test_on_a_cluster import assert_logs, finish
from tests.reference.history import expected_outputs
from tests.support.cli import ROOT, until
from tests.support.history_files import Quirks, history_text
from tests.support.missing_tools import tool
from tests.support.redis_cluster import RedisClusterForTests, Secured
from tests.support.serving import Serving, serving

SEED = 15
ROWS = 6_000


@pytest.fixture
def secured_cluster(tmp_path: Path) -> Iterator[RedisClusterForTests]:
    """Six nodes that speak TLS only, want a certificate, and know the user of docs/redis_and_postgres.md."""
    pytest.importorskip("cryptography", reason="certificates are made with it")
    # Only here: the other tests of this file do without it.
    from tests.support.tls import Authority

    program, authority = tool("redis-server"), Authority()
    assert program is not None
    page = (ROOT / "docs" / "redis_and_postgres.md").read_text(encoding="utf-8")
    [rights] = re.findall(r"^ACL SETUSER (midstream .*)$", page, re.MULTILINE)
    wanted = Secured(
        program,
        authority.write(tmp_path),
        *authority.pair("127.0.0.1").write(tmp_path, "node"),
        user=(*rights.split(), "+cluster|slots", "+asking"),
    )
    with RedisClusterForTests(tmp_path / "secured", secured=wanted) as cluster:
        yield cluster


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param("plain", marks=pytest.mark.long),
        pytest.param("secured", marks=[pytest.mark.nightly, pytest.mark.needs("redis-server")]),
    ],
)
def test_control_sinks_and_created_sessions_outlive_the_primaries_of_their_keys(
    cluster: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = tmp_path / "data" / "history.csv"
    path.parent.mkdir()
    path.write_bytes(history_text(random.Random(SEED), Quirks(rows=ROWS, negative=0.05, step_us=1000)))
    expected = expected_outputs([path])
    nodes: RedisClusterForTests = request.getfixturevalue("redis_cluster" if cluster == "plain" else "secured_cluster")
    settings = {"HISTORICAL": str(path), "SPEED": "0.02", "DATA": str(path.parent), "REDIS_URL": nodes.url}
    if nodes.secured is not None:
        cert, key, ca = (str(path) for path in (nodes.secured.cert, nodes.secured.key, nodes.secured.ca))
        url = nodes.url.replace("://", "://midstream:CHANGE-ME@")
        settings |= {"REDIS_URL": url, "REDIS_CA": ca, "REDIS_CERT": cert, "REDIS_KEY": key}
    names = ("--name", "mine", "--speed", "0.02", "--partitions", "2")
    with serving(tmp_path / "out", **settings) as servers:
        servers.redis_url = secured(
            settings["REDIS_URL"],
            {f"MIDSTREAM_{name}": settings.get(name) for name in ("REDIS_CA", "REDIS_CERT", "REDIS_KEY")},
        )
        servers.wait_committed(50)
        done = servers.midstream("session", "create", str(path), *names)
        assert done.code == 0, done.stderr
        for key in (SessionKeys("default").ticks, SessionKeys("default").control, SessionKeys("mine", 1).ticks):
            lost = nodes.primary_of(key)
            nodes.kill(lost)
            until(lambda: nodes.primary_of(key) is not lost, what=f"another primary of {key}")  # noqa: B023
            said = until(lambda: answered(servers, "pause"), what="a pause")
            assert said.startswith("paused")
            servers.wait_state("PAUSED", timeout_s=60.0)
            until(lambda: answered(servers, "resume"), what="the way on")
            # It comes back as a replica.
            nodes.heal()
        assert servers.state()["last_sequence"] < len(expected.sequence), "it was over before the primaries were lost"
        for session in ("default", "mine"):
            until(lambda: answered(servers, "speed", "max", "--session", session), what=f"full speed of {session}")  # noqa: B023
        finish(servers, expected)
        until(lambda: mine_is_complete(servers), what="the created session", timeout_s=60.0)
        deleted = until(lambda: answered(servers, "session", "delete", "mine"), what="the end of the created session")
        assert "mine" in deleted
        until(lambda: set(servers.statuses().values()) == {1}, what="all well")
    assert_logs(tmp_path / "out", expected)
    merge_logs([tmp_path / "out" / "mine"], tmp_path / "merged")
    assert_logs(tmp_path / "merged", expected)


def answered(servers: Serving, *command: str) -> str:
    """Return what a command printed; nothing while servers tell to call again, as behind a change of primaries."""
    done = servers.midstream(*command)
    assert done.code in (0, 1), done.stderr
    return done.stdout if done.code == 0 else ""


def mine_is_complete(servers: Serving) -> bool:
    parts = json.loads(answered(servers, "partitions", "--session", "mine", "--json") or '{"partitions": []}')[
        "partitions"
    ]
    return len(parts) == 2 and all(
        part["state"] == "completed" and part["sinks"] and part["sinks"][0]["sequence"] == part["last_sequence"]
        for part in parts
    )
