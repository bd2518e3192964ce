"""`midstream healthcheck` against servers as they run: stopped and going on, behind TLS and keys, simulated worlds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.support.cli import Completed, midstream
from tests.support.redis_server import RedisForTests
from tests.support.server_process import SERVING, server_process
from tests.support.simulator_process import SimulatorProcess
from tests.support.tls import Authority


def asked(*arguments: str, **settings: str) -> Completed:
    return midstream(
        "healthcheck", *arguments, environment={f"MIDSTREAM_{name}": value for name, value in settings.items()}
    )


def test_a_stopped_process_is_neither_ready_nor_alive_until_it_goes_on(
    new_redis: Callable[..., RedisForTests], tmp_path: Path
) -> None:
    with server_process("control", tmp_path, REDIS_URL=new_redis().url) as server:
        server.wait_health(SERVING)
        port = {"CONTROL_PORT": str(server.announcement["port"])}
        assert asked("control", **port) == Completed(0, "control: serving\n", "")

        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            stopped = asked("control", "--timeout", "0.3", **port)
            dead = asked("control", "--live", "--timeout", "0.3", **port)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)

        assert (stopped.code, dead.code) == (1, 1)
        assert "no answer within 0.3 s" in stopped.stdout
        assert asked("control", "--live", **port).stdout == "control: live\n"


def test_a_server_without_its_redis_lives_and_says_why_it_is_not_ready(
    new_redis: Callable[..., RedisForTests], tmp_path: Path
) -> None:
    redis = new_redis()
    with server_process("price", tmp_path, REDIS_URL=redis.url) as server:
        server.wait_health(SERVING)
        redis.stop()
        server.wait_health(2)
        port = {"PRICE_PORT": str(server.announcement["port"])}

        answer = asked("midstream.price.v1.PriceService", **port)

        assert answer.code == 1
        assert "Redis" in answer.stdout
        assert asked("price", "--live", **port) == Completed(0, "price: live\n", "")


def test_behind_tls_and_keys_it_asks_where_health_is_in_plain_text(
    new_redis: Callable[..., RedisForTests], tmp_path: Path
) -> None:
    cert, key = Authority().pair("localhost").write(tmp_path, "server")
    settings = {"TLS_CERT": str(cert), "TLS_KEY": str(key), "AUTH": "keys", "OUT": str(tmp_path / "out")}
    settings["KEYS_DATABASE_URL"] = f"sqlite:///{tmp_path / 'keys.db'}"
    with server_process("control", tmp_path, REDIS_URL=new_redis().url, **settings) as server:
        admin = str(server.announcement["admin_port"])

        answer = asked("control", CONTROL_PORT="1", CONTROL_ADMIN_PORT=admin, TLS_CERT=str(cert))

        assert answer == Completed(0, "control: serving\n", "")


def test_a_simulated_exchange_answers_too(tmp_path: Path) -> None:
    simulator = SimulatorProcess("binance", tmp_path)
    try:
        assert asked("sim-binance", SIM_BINANCE_PORT=str(simulator.port)) == Completed(0, "sim-binance: answers\n", "")
    finally:
        simulator.kill()
