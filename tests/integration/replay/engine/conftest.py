"""Engines that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.replay.engine.harness import EngineChild


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[Callable[..., EngineChild]]:
    """Start engines: `start_engine(redis_url, session, speed=1.0)`."""
    children: list[EngineChild] = []

    def start(redis_url: str, session: str, **config: Any) -> EngineChild:
        children.append(EngineChild(redis_url, session, tmp_path, **config))
        return children[-1]

    yield start
    for child in children:
        if child.process.poll() is None:
            child.kill()
