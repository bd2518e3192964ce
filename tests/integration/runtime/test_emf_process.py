"""A server that writes figures for CloudWatch: on standard output, as lines of their own, from its start to its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc

from tests.support.calls import NAME
from tests.support.emf_schema import FORM, problems
from tests.support.waiting import wait_until

PATIENCE_S = 60.0


def lines_of_a_life(directory: Path, *, calls: int, **settings: str) -> tuple[list[dict[str, Any]], str]:
    """What a server writes that answers so many calls and is stopped: the documents on standard output, and standard error."""
    ready_file = directory / "ready"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.plain_server"],
        env={
            **os.environ,
            "MIDSTREAM_REDIS_URL": "redis://127.0.0.1:1/0",
            "MIDSTREAM_PORT": "0",
            "MIDSTREAM_METRICS_PORT": "0",
            "MIDSTREAM_READY_FILE": str(ready_file),
            **settings,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: ready_file.exists() or process.poll() is not None, timeout_s=PATIENCE_S, what="the server")
        with grpc.insecure_channel(f"127.0.0.1:{json.loads(ready_file.read_text())['port']}") as channel:
            for _ in range(calls):
                channel.unary_unary(f"/{NAME}/Unary")(b"hello", timeout=PATIENCE_S)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")], err


def test_lines_hold_everything_once_from_the_start_to_the_end(tmp_path: Path) -> None:
    documents, err = lines_of_a_life(
        tmp_path,
        calls=3,
        MIDSTREAM_METRICS_EMF="yes",
        MIDSTREAM_STAGE="dev",
        MIDSTREAM_METRICS_EMF_INTERVAL_S="3600",
    )

    for document in documents:
        FORM.validate(document)
        assert problems(document) == []
        assert (document["stage"], document["server"]) == ("dev", "control")
    # Lines of the start, and what came since at the end.
    assert sum(each["grpc_server_handled_total"] for each in documents if each.get("grpc_code") == "OK") == 3
    assert [each["midstream_serving"] for each in documents if "midstream_serving" in each][-1] == 0
    assert "_aws" not in err


def test_without_the_setting_nothing_is_written(tmp_path: Path) -> None:
    documents, err = lines_of_a_life(tmp_path, calls=1)

    assert documents == []
    assert "_aws" not in err
