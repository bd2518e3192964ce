"""What CreateSession takes, and what it refuses by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastpath.frame import MODE_HISTORICAL, MODE_LIVE
from protos.replay.v1 import replay_pb2 as pb
from services.replay.allowed_files import AllowedFiles
from services.replay.session_requests import SessionRequests, definition_message
from services.runtime.errors import InvalidRequest, MidstreamError, PermissionDenied
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.versions import NewerVersion

FEED = "ws://127.0.0.1:5040"


@pytest.fixture
def requests(tmp_path: Path) -> SessionRequests:
    return SessionRequests(AllowedFiles([tmp_path]), sinks=("price",), time_ns=lambda: 7)


def read(requests: SessionRequests, **definition: Any) -> SessionDefinition:
    return requests.read(pb.CreateSessionRequest(definition=pb.SessionDefinition(**definition)))


def test_what_is_left_out_is_completed(requests: SessionRequests) -> None:
    assert read(requests, files=["a.csv"]) == SessionDefinition(
        files=("a.csv",), mode=MODE_HISTORICAL, sinks=("price",), created_time_ns=7
    )
    assert read(requests, live_url=FEED).mode == MODE_LIVE
    assert read(requests, files=["a.csv"], live_url=FEED).mode == MODE_HISTORICAL
    assert read(requests, files=["a.csv"], sinks=["none"]).sinks == ()


def test_a_definition_survives_redis_and_the_way_back_to_the_caller(requests: SessionRequests) -> None:
    definition = read(
        requests,
        files=["a.csv", "b*.csv"],
        live_url=FEED,
        mode=MODE_LIVE,
        speed=2.5,
        start_arrival_time_ns=5,
        end_arrival_time_ns=9,
        tickers=["B", "A"],
        latency=["constant:5ms"],
        sinks=["x", "y"],
        private=True,
        partitions=1,
        gap_cap_ns=0,
        rate=2.5e3,
        delay_ns=0,
        time_debt=pb.TimeDebt.POLICY_FAIL,
        time_debt_limit_ns=7,
    )

    assert SessionDefinition.decode("s", definition.encode()) == definition
    message = definition_message(definition)
    assert {field.name for field, _ in message.ListFields()} == {field.name for field in message.DESCRIPTOR.fields}
    assert requests.read(pb.CreateSessionRequest(definition=message)).is_same(definition)


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({}, "definition"),
        ({"files": ["a.csv"], "partitions": 1_025}, "definition.partitions"),
        ({"files": ["a.csv"], "speed": -1.0}, "definition.speed"),
        ({"files": ["a.csv"], "speed": float("nan")}, "definition.speed"),
        ({"files": ["a.csv"], "speed": 1e7}, "definition.speed"),
        ({"files": ["a.csv"], "mode": MODE_LIVE}, "definition.mode"),
        ({"live_url": FEED, "mode": MODE_HISTORICAL}, "definition.mode"),
        ({"files": ["a.csv"], "mode": 9}, "definition.mode"),
        ({"files": ["a.csv"], "start_arrival_time_ns": 5, "end_arrival_time_ns": 5}, "definition"),
        ({"files": ["a.csv"], "tickers": [""]}, "definition.tickers"),
        ({"files": ["a.csv"], "latency": ["slow"]}, "definition"),
        ({"files": ["a.csv"], "latency": ["empirical:../x.csv"]}, "definition.latency"),
        ({"files": ["a.csv"], "latency": ["empirical:x.csv"]}, "definition.latency"),
        ({"files": ["a.csv"], "sinks": ["a b"]}, "definition.sinks"),
        ({"files": ["../a.csv"]}, "definition.files"),
        ({"live_url": "http://127.0.0.1"}, "definition.live_url"),
        ({"live_url": "file:///etc/passwd"}, "definition.live_url"),
        ({"live_url": "ws://169.254.169.254/latest"}, "definition.live_url"),
        ({"live_url": "ws://2852039166/"}, "definition.live_url"),
        ({"live_url": "ws://[fd00:ec2::254]/"}, "definition.live_url"),
        ({"live_url": "ws://[oops"}, "definition.live_url"),
        ({"live_url": "wss://user:secret@feed.example/"}, "definition.live_url"),
        ({"live_url": "binance://'; DROP"}, "definition.live_url"),
        ({"live_url": "wss://" + "x" * 5_000}, "definition.live_url"),
        ({"files": ["a.csv"], "gap_cap_ns": -1}, "definition.gap_cap_ns"),
        ({"files": ["a.csv"], "delay_ns": (1 << 63) - 1}, "definition.delay_ns"),
        ({"files": ["a.csv"], "rate": float("inf")}, "definition.rate"),
        ({"files": ["a.csv"], "rate": float("nan")}, "definition.rate"),
        ({"files": ["a.csv"], "rate": 2e9}, "definition.rate"),
        ({"files": ["a.csv"], "time_debt": 9}, "definition.time_debt"),
        ({"files": ["a.csv"], "time_debt_limit_ns": -5}, "definition.time_debt_limit_ns"),
        ({"files": ["a.csv"], "gap_cap_ns": 5, "rate": 1.0}, "definition"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(
    requests: SessionRequests, definition: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(requests, **definition)

    assert refused.value.field == field
    assert "secret" not in str(refused.value)


def test_a_model_reads_no_file_that_may_not_be_read(requests: SessionRequests) -> None:
    with pytest.raises(PermissionDenied):
        read(requests, files=["a.csv"], latency=["empirical:/etc/passwd"])


@pytest.mark.parametrize("name", [".", "..", ".midstream", "a/b", "a b", "x" * 65, "a\n", "{}", "ä", "a\0"])
def test_names_that_would_be_something_else_on_disk_or_in_redis_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="session"):
        SessionRequests.name_of(pb.CreateSessionRequest(session=name))


def test_without_a_name_every_session_gets_one_of_its_own() -> None:
    assert len({SessionRequests.name_of(pb.CreateSessionRequest()) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"mode":"x","speed":1,"created_time_ns":1}',
        b'{"mode":1,"speed":0,"created_time_ns":null}',
    ],
)
def test_a_definition_that_cannot_be_read_says_whose_it_is(stored: bytes) -> None:
    with pytest.raises(ValueError, match="definition of session `s`"):
        SessionDefinition.decode("s", stored)


def test_a_definition_of_a_newer_release_is_not_guessed() -> None:
    with pytest.raises(NewerVersion) as refused:
        SessionDefinition.decode("s", b'{"version":2}')
    assert isinstance(refused.value, MidstreamError)
