"""A server finds its sensitive settings under the path that its task names, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from services.runtime.parameters import take_parameters
from tests.deployment.aws.shapes import DEPLOYED, server_parameters
from tests.support.cloudformation import STAGES, resolve, template


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Parameter Store with a queue's URL for every server of every stage, each another one, and what lies beside them."""
    for name, value in {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        ssm = boto3.client("ssm")
        for stage in STAGES:
            for server in DEPLOYED:
                name = f"/midstream/{stage}/{server}/MIDSTREAM_REDIS_URL"
                ssm.put_parameter(Name=name, Value=f"rediss://:x@{server}.{stage}:6379/0", Type="SecureString")
            for name in ("orders/binance/api_key", "orders/binance/api_secret", "tls/key"):
                ssm.put_parameter(Name=f"/midstream/{stage}/{name}", Value="not-a-setting", Type="SecureString")
        yield


@pytest.mark.cases(4)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("server", DEPLOYED)
def test_the_settings_of_a_server_are_found_under_the_path_of_its_stage(store: None, stage: str, server: str) -> None:
    task = resolve(template("server"), **server_parameters(stage, server)).resources["Task"]["Properties"]
    environment = {each["Name"]: str(each["Value"]) for each in task["ContainerDefinitions"][1]["Environment"]}

    taken = take_parameters(environment)

    assert taken is not None
    assert (taken.path, taken.names, taken.odd) == (f"/midstream/{stage}/{server}", ("MIDSTREAM_REDIS_URL",), ())
    assert environment["MIDSTREAM_REDIS_URL"] == f"rediss://:x@{server}.{stage}:6379/0"
    assert "not-a-setting" not in environment.values()
