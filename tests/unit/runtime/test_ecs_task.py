"""The task's id comes from where ECS says it is, or not at all, and never late."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from services.runtime.ecs_task import task_id_at

TASK = "158d1c8083dd49d6b527399fd6414f5c"
ARN = f"arn:aws:ecs:eu-central-1:111122223333:task/default/{TASK}"


@contextmanager
def agent(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """Answer as the agent on a container instance does; yields the address and the paths asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v4/9781c248-0edd-4cdb-9a93-f63cb662a5d3", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_outside_of_ecs_there_is_none() -> None:
    assert task_id_at("") == ""


def test_on_fargate_the_address_names_it_and_nobody_is_asked() -> None:
    # A port that nobody listens on: a request would fail.
    assert task_id_at(f"http://127.0.0.1:1/v4/{TASK}-2495160603") == TASK


def test_elsewhere_the_agent_is_asked_once() -> None:
    with agent(200, json.dumps({"Cluster": "default", "TaskARN": ARN}).encode()) as (address, asked):
        assert task_id_at(address) == TASK
    assert asked == ["/v4/9781c248-0edd-4cdb-9a93-f63cb662a5d3/task"]


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"oops"), (200, b"not json"), (200, b"[]"), (200, b"{}"), (200, b"null")],
    ids=repr,
)
def test_an_answer_that_is_none_costs_the_field_alone(status: int, body: bytes) -> None:
    with agent(status, body) as (address, _):
        assert task_id_at(address) == ""


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/v4/x", "nonsense", "http://127.0.0.1:99999/v4/x", "http://["])
def test_an_address_without_an_agent_costs_the_field_alone(address: str) -> None:
    assert task_id_at(address) == ""


def test_an_agent_that_never_answers_does_not_hold_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun_s = time.monotonic()

        assert task_id_at(f"http://127.0.0.1:{silent.getsockname()[1]}/v4/x", wait_s=0.2) == ""
        # An hour is what the kernel would wait; the bound is not what is measured here.
        assert time.monotonic() - begun_s < 60
