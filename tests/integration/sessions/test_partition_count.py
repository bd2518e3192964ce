"""A replay server whose session is published in another number of partitions: it does not start, and says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from services.runtime.session import partitions_stored
from services.runtime.session.keys import SessionKeys
from services.runtime.session.partitions import Partitioning
from tests.support.cli import PATIENCE_S, ROOT, clean_environment
from tests.support.created_sessions import write_ticks


@pytest.mark.cases(1)
@pytest.mark.parametrize(
    ("stored", "settings", "said"),
    [
        (Partitioning(4), {"PARTITIONS": "1"}, "is published in 4 partitions, and this server is set to one partition"),
        (Partitioning(4), {"PARTITIONS": "3"}, "is published in 4 partitions, and this server is set to 3 partitions"),
        (
            Partitioning(4, {"BTC": 1}),
            {"PARTITIONS": "4", "PARTITION_OF": "BTC=2"},
            "has other tickers assigned to its partitions than MIDSTREAM_PARTITION_OF says",
        ),
    ],
    ids=["one", "three", "other tickers"],
)
def test_another_number_of_partitions_is_refused_with_one_sentence(
    redis_url: str,
    redis_client: redis.Redis,
    session_name: str,
    tmp_path: Path,
    stored: Partitioning,
    settings: dict[str, str],
    said: str,
) -> None:
    keys = SessionKeys(session_name)
    redis_client.set(keys.partitions, partitions_stored.encode(stored))
    settings |= {
        "REDIS_URL": redis_url,
        "SESSION": session_name,
        "HISTORICAL": str(write_ticks(tmp_path / "ticks.csv", 10)),
        "OUT": str(tmp_path / "out"),
        "REPLAY_PORT": "0",
        "REPLAY_METRICS_PORT": "0",
    }

    ended = subprocess.run(
        [sys.executable, "-P", "-m", "services.replay"],
        cwd=ROOT,
        env=clean_environment({f"MIDSTREAM_{name}": value for name, value in settings.items()}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert ended.returncode == 2, ended.stderr
    # Whoever measures the process may have a word after its last one.
    [sentence] = [line for line in ended.stderr.splitlines() if line.startswith("session ")]
    assert sentence.startswith(f"session `{session_name}` {said}")
    assert "MIDSTREAM_SESSION" in sentence
    assert redis_client.get(keys.partitions) == partitions_stored.encode(stored)
    assert sorted(redis_client.scan_iter(match=f"midstream:{{{session_name}*")) == [keys.partitions.encode()]
