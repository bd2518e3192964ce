"""When the records of a created session leave: its own word, its server's, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protos.replay.v1 import replay_pb2 as pb
from services.replay.allowed_files import AllowedFiles
from services.replay.config import ReplaySettings
from services.replay.engine.config import parse_config
from services.replay.engine.pace import Pace
from services.replay.session_requests import SessionRequests
from services.runtime.errors import InvalidRequest
from services.runtime.session.definition import SessionDefinition

STRETCH, FAIL = pb.TimeDebt.POLICY_STRETCH, pb.TimeDebt.POLICY_FAIL
MS = 1_000_000


class Stage:
    """A server with these settings."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.settings = ReplaySettings(redis_url="unix:///nowhere", out=directory, data=str(directory), **settings)
        self._requests = SessionRequests(AllowedFiles([directory]), sinks=(), pace=self.settings.pace())

    def create(self, **definition: Any) -> SessionDefinition:
        asked = pb.SessionDefinition(files=["a.csv"], **definition)
        # As a server finds it that is started again.
        return SessionDefinition.decode("s", self._requests.read(pb.CreateSessionRequest(definition=asked)).encode())

    def pace(self, definition: SessionDefinition) -> tuple[Pace, float]:
        config = parse_config(self.settings.created_config("s", definition, ["/a.csv"]))
        return config.pace, config.beginning.speed


@pytest.mark.parametrize(
    ("settings", "definition", "pace", "speed"),
    [
        pytest.param({}, {}, Pace(), 0.0, id="nothing said"),
        pytest.param({}, {"gap_cap_ns": 5 * MS}, Pace(gap_cap_ns=5 * MS), 1.0, id="capped"),
        pytest.param({}, {"gap_cap_ns": 5, "speed": 3.0}, Pace(gap_cap_ns=5), 3.0, id="capped, three times as fast"),
        pytest.param({}, {"rate": 1000.0, "speed": 2.0}, Pace(rate=1000.0), 2.0, id="rate"),
        pytest.param({}, {"delay_ns": MS}, Pace(delay_ns=MS), 1.0, id="delay"),
        pytest.param({}, {"time_debt": STRETCH}, Pace(debt="stretch"), 0.0, id="stretch"),
        pytest.param({}, {"time_debt": FAIL}, Pace(debt="fail"), 0.0, id="fail"),
        pytest.param(
            {},
            {"time_debt": FAIL, "time_debt_limit_ns": 7},
            Pace(debt="fail", debt_limit_ns=7),
            0.0,
            id="fail with a limit",
        ),
        pytest.param(
            {"gap_cap": "5s", "time_debt": "stretch"},
            {},
            Pace(gap_cap_ns=5_000 * MS, debt="stretch"),
            0.0,
            id="the server's",
        ),
        pytest.param({"gap_cap": "5s"}, {"rate": 10.0}, Pace(rate=10.0), 1.0, id="its own in place of the server's"),
        pytest.param({"rate": 10}, {"gap_cap_ns": 0}, Pace(), 0.0, id="the gaps of the data, whatever the server says"),
        pytest.param(
            {"time_debt": "fail", "time_debt_limit": "3s"},
            {"time_debt": pb.TimeDebt.POLICY_CATCH_UP},
            Pace(),
            0.0,
            id="its own policy, without the server's limit",
        ),
        pytest.param({"time_debt": "stretch"}, {"delay_ns": MS}, Pace(delay_ns=MS), 1.0, id="a delay owes nothing"),
    ],
)
def test_a_session_leaves_as_it_says_else_as_its_server_does(
    tmp_path: Path, settings: dict[str, Any], definition: dict[str, Any], pace: Pace, speed: float
) -> None:
    stage = Stage(tmp_path, **settings)

    assert stage.pace(stage.create(**definition)) == (pace, speed)


@pytest.mark.parametrize(
    ("settings", "definition", "says"),
    [
        pytest.param(
            {}, {"gap_cap_ns": 5, "delay_ns": MS}, "gap_cap_ns and delay_ns exclude each other", id="two of them"
        ),
        pytest.param({}, {"delay_ns": 5}, "delay_ns: 5ns is shorter than 1ms", id="short delay"),
        pytest.param(
            {}, {"delay_ns": MS, "time_debt": STRETCH}, "time_debt: stretch has no meaning with delay_ns", id="debt"
        ),
        pytest.param({}, {"time_debt_limit_ns": 5}, "time_debt_limit_ns is for time_debt=fail", id="limit alone"),
        pytest.param(
            {}, {"time_debt": STRETCH, "time_debt_limit_ns": 5}, "time_debt_limit_ns is for time_debt=fail", id="limit"
        ),
        pytest.param(
            {"delay": "5ms"},
            {"time_debt": STRETCH},
            "time_debt: stretch has no meaning with MIDSTREAM_DELAY",
            id="against the server's delay",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_in_the_words_of_the_definition(
    tmp_path: Path, settings: dict[str, Any], definition: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        Stage(tmp_path, **settings).create(**definition)

    assert refused.value.field == "definition"


def test_a_session_of_an_earlier_release_goes_on_as_its_server_does(tmp_path: Path) -> None:
    stored = b'{"version":1,"files":["a.csv"],"mode":1,"speed":2.0,"created_time_ns":1}'

    pace, speed = Stage(tmp_path, rate=5).pace(SessionDefinition.decode("s", stored))

    assert (pace, speed) == (Pace(rate=5.0), 2.0)
