"""What libraries log has the shape of our own lines."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from services.runtime.logs import configure_logs
from tests.support.log_capture import restored_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with restored_logging():
        yield


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for line in lines:
        for same in ("timestamp", "server", "service"):
            del line[same]
    return lines


def test_an_access_line_of_the_web_server_has_fields(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logs("orders")
    caplog.set_level(logging.INFO, logger="uvicorn.access")
    # A web face that was made without access lines has said so of the whole process.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)

    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:5", "GET", "/v1/orders", "1.1", 200, extra={"color_message": "x"}
    )

    assert said(capsys) == [
        {
            "event": "http request served",
            "level": "info",
            "logger": "uvicorn.access",
            "client": "127.0.0.1:5",
            "method": "GET",
            "path": "/v1/orders",
            "http_version": "1.1",
            "status": 200,
        }
    ]


def test_the_sentence_of_any_other_is_the_event_and_its_template_stays_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("orders")

    logging.getLogger("sqlalchemy.pool").warning("connection %s is gone after %d s", "postgresql://u:pw@h/d", 7)
    logging.getLogger("alembic.runtime.migration").warning("Running %s", "upgrade 1 -> 2, deals")

    assert said(capsys) == [
        {
            "event": "connection postgresql://u:***@h/d is gone after 7 s",
            "level": "warning",
            "logger": "sqlalchemy.pool",
            "template": "connection %s is gone after %d s",
        },
        {
            "event": "database migration runs",
            "level": "warning",
            "logger": "alembic.runtime.migration",
            "step": "upgrade 1 -> 2, deals",
        },
    ]


def test_the_web_server_s_general_logger_is_not_called_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("orders")

    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")

    assert said(capsys)[0]["logger"] == "uvicorn"


def test_chatter_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("orders")

    for name in ("uvicorn.error", "uvicorn", "asyncio", "websockets", "alembic.runtime.migration", "aiosqlite"):
        logging.getLogger(name).info("Started server process")
        logging.getLogger(name).warning("worth a line")

    assert [line["event"] for line in said(capsys)] == ["worth a line"] * 6


async def test_an_exception_of_a_task_that_nobody_awaits_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("orders")

    async def fail() -> None:
        raise RuntimeError("broken")

    task = asyncio.create_task(fail(), name="a-task")
    await asyncio.wait([task])
    del task
    gc.collect()

    (line,) = said(capsys)
    assert line["event"] == "Task exception was never retrieved"
    assert line["level"] == "error"
    assert "a-task" in line["details"]
    assert line["exception"].endswith("RuntimeError: broken")
