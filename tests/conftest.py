"""Fixtures for every test: real Redis servers, fresh session names, a hostile network."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from services.runtime.connection import connect
from tests.support.cases import leave_to_the_night
from tests.support.clock import FakeClock
from tests.support.engines import engine_of_this_run, use_engine_of_this_run
from tests.support.missing_tools import leave_out, note_left_out
from tests.support.proxy import TcpProxy
from tests.support.redis_cluster import RedisClusterForTests
from tests.support.redis_server import RedisForTests, forget_session, fresh_session_name

# No deadline per example: how long one takes says more about the machine than about the code. A failure prints how to repeat it.
hypothesis.settings.register_profile("midstream", deadline=None, print_blob=True)
hypothesis.settings.register_profile("sanitized", deadline=None, print_blob=True, max_examples=30)
hypothesis.settings.load_profile(os.environ.get("MIDSTREAM_TEST_PROFILE", "midstream"))


# Modules that ask third parties; they are pinned in tests/third_parties.txt, which the quick suite does without.
THIRD_PARTIES = {
    "integration/cli/test_healthcheck.py": "cryptography",
    "integration/cli/test_looking_securely.py": "cryptography",
    "integration/health/test_elsewhere.py": "cryptography",
    "unit/cli/test_doctor_files.py": "cryptography",
    "deployment/aws/test_monitoring.py": "yaml",
    "deployment/aws/test_page.py": "yaml",
    "deployment/aws/test_parameters.py": "moto",
    "deployment/aws/test_settings_of_tasks.py": "yaml",
    "deployment/aws/test_emf.py": "moto",
    "deployment/aws/test_stacks.py": "openapi_spec_validator",
    "deployment/aws/test_templates.py": "cfnlint",
    "deployment/kubernetes/test_manifests.py": "kubernetes_validate",
    "deployment/kubernetes/test_page.py": "kubernetes_validate",
    "deployment/kubernetes/test_containers.py": "kubernetes_validate",
    "deployment/test_stored_settings.py": "flask",
    "e2e/test_dashboard.py": "playwright",
    "e2e/test_dashboard_reach.py": "playwright",
    "e2e/test_whatif_page.py": "playwright",
    "e2e/test_tls_page.py": "cryptography",
    "integration/clients/database/test_postgres_tls.py": "cryptography",
    "integration/cli/test_tls_commands.py": "cryptography",
    "integration/clients/http/test_transport_bytes.py": "cryptography",
    "integration/clients/http/test_transport_faults.py": "cryptography",
    "integration/orders/test_description.py": "schemathesis",
    "integration/simulators/test_ccxt_calls.py": "ccxt",
    "integration/orders/test_no_secret_anywhere.py": "cryptography",
    "integration/runtime/test_redis_tls.py": "cryptography",
    "unit/monitoring/test_rules.py": "promql_parser",
    "unit/monitoring/test_page.py": "promql_parser",
    "unit/monitoring/test_targets.py": "promql_parser",
    "unit/monitoring/test_alertmanager.py": "promql_parser",
    "deployment/monitoring/test_alerts.py": "promql_parser",
    "deployment/monitoring/test_configs.py": "promql_parser",
    "deployment/monitoring/test_live.py": "promql_parser",
    "deployment/monitoring/test_generated.py": "grafana_foundation_sdk",
    "unit/monitoring/test_dashboards.py": "promql_parser",
    "integration/runtime/test_tls.py": "cryptography",
    "integration/runtime/test_tracing.py": "opentelemetry.proto",
    "integration/runtime/test_tls_rotation.py": "cryptography",
    "integration/runtime/test_web_certificates.py": "cryptography",
    "integration/runtime/test_web_face.py": "cryptography",
    "deployment/test_compose.py": "yaml",
    "deployment/test_compose_runs.py": "yaml",
    "deployment/test_image_page.py": "yaml",
    "unit/clients/rpc/test_channel.py": "cryptography",
    "unit/runtime/access/test_credentials.py": "cryptography",
    "integration/runtime/test_access_matrix.py": "jwt",
    "integration/runtime/test_emf_process.py": "jsonschema",
    "unit/runtime/test_emf.py": "jsonschema",
    "unit/runtime/access/test_tokens.py": "jwt",
    "unit/runtime/tls/test_der.py": "cryptography",
    "unit/runtime/tls/test_watched.py": "cryptography",
    "unit/power/test_operating_power_page.py": "yaml",
    "unit/clients/secrets/test_parameter_path.py": "moto",
    "unit/clients/secrets/test_parameter_store.py": "moto",
}
collect_ignore = [path for path, module in THIRD_PARTIES.items() if importlib.util.find_spec(module) is None]


def pytest_configure() -> None:
    """Settle which engine private Redis servers run, and note what is left out."""
    use_engine_of_this_run()
    note_left_out(f"tests/{path}" for path in collect_ignore)


def pytest_report_header() -> list[str]:
    """Say which engine private Redis servers run, and what is left out, and why."""
    left_out = [f"left out: {path} ({THIRD_PARTIES[path]} is not installed)" for path in collect_ignore]
    return [f"redis: {engine_of_this_run()}", *left_out]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort into tiers before tiers are chosen; let one test speak for all that need a program which is not here."""
    leave_to_the_night(items)
    items[:] = leave_out(items)


def pytest_sessionfinish() -> None:
    """Write down what was measured while there is time: a worker that takes more than ten seconds to end is killed with all it knows."""
    if (coverage := sys.modules.get("coverage")) is not None and (measuring := coverage.Coverage.current()) is not None:
        measuring.save()


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisForTests]:
    """One Redis without append-only file for the whole run. Do not kill it, suspend it or configure it."""
    server = RedisForTests(tmp_path_factory.mktemp("redis"), append_only=False)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_redis_aof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisForTests]:
    """As `shared_redis`, with append-only file: what a live session needs."""
    server = RedisForTests(tmp_path_factory.mktemp("redis-aof"), append_only=True)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisClusterForTests]:
    """Six nodes for the whole run; take `redis_cluster`."""
    with RedisClusterForTests(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster(shared_redis_cluster: RedisClusterForTests) -> Iterator[RedisClusterForTests]:
    """The cluster of this run, empty and whole. A test may do everything to it; it is healed and emptied afterwards."""
    yield shared_redis_cluster
    shared_redis_cluster.heal()
    shared_redis_cluster.flush()


@pytest.fixture
def redis_url(shared_redis: RedisForTests) -> str:
    """URL of the Redis of this run."""
    return shared_redis.url


@pytest.fixture
def redis_aof_url(shared_redis_aof: RedisForTests) -> str:
    """URL of the Redis with append-only file."""
    return shared_redis_aof.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the Redis of this run."""
    client = connect(redis_url, client_name="test")
    yield client
    client.close()


@pytest.fixture
def session_name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A session name of this test alone; what it left in a shared Redis is deleted afterwards."""
    name = fresh_session_name()
    yield name
    for fixture in ("shared_redis", "shared_redis_aof"):
        if fixture in request.fixturenames:
            client = request.getfixturevalue(fixture).client()
            try:
                forget_session(client, name)
            finally:
                client.close()


@pytest.fixture
def new_redis(tmp_path: Path) -> Iterator[Callable[..., RedisForTests]]:
    """Start private servers that the test may mistreat: `new_redis(append_only=True)`."""
    servers: list[RedisForTests] = []

    def start(*, append_only: bool = False, extra: tuple[str, ...] = ()) -> RedisForTests:
        server = RedisForTests(tmp_path / f"redis-{len(servers)}", append_only=append_only, extra=extra)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def redis_proxy(redis_url: str) -> Iterator[TcpProxy]:
    """A proxy in front of the Redis of this run; `redis_proxy.url` is what to connect to."""
    with TcpProxy.for_redis(redis_url) as proxy:
        yield proxy


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands still until it is moved."""
    return FakeClock()
