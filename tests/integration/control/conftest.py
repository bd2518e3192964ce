"""A control server and a stand-in for the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from protos.control.v1.control_pb2_grpc import ControlServiceStub
from tests.integration.control.harness import EngineStandIn, serving


@pytest.fixture
def engine(redis_url: str, session_name: str) -> Iterator[EngineStandIn]:
    stand_in = EngineStandIn(redis_url, session_name)
    yield stand_in
    stand_in.close()


@pytest.fixture
async def control(redis_url: str, session_name: str, tmp_path: Path) -> AsyncIterator[ControlServiceStub]:
    async with serving(redis_url, session_name, tmp_path / "journal") as stub:
        yield stub
