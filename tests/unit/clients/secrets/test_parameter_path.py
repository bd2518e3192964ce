"""What is said when Parameter Store cannot be read: which permission, which key, what passes; never a value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, PartialCredentialsError
from moto import mock_aws

from clients.secrets import SecretRefused, SecretUnavailable
from clients.secrets.parameter_path import READ_S_MAX, ParameterPath
from tests.support.clock import FakeClock

PATH = "/midstream/prod/orders"
SECRET = "canary-secret-77"


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield boto3.client("ssm")


class Failing:
    """A client whose store answers with an error, or takes its time."""

    def __init__(self, inner: Any, error: Exception | None = None, clock: FakeClock | None = None) -> None:
        self.meta = inner.meta
        self._error = error
        self._clock = clock

    def get_parameters_by_path(self, **arguments: Any) -> dict[str, Any]:
        if self._error is not None:
            raise self._error
        assert self._clock is not None
        self._clock.advance(READ_S_MAX / 3)
        return {"Parameters": [], "NextToken": "more"}


def answer(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": f"{message} {SECRET}"}}, "GetParametersByPath")


def test_everything_directly_below_the_path_is_read_decrypted_whatever_its_number(ssm: Any) -> None:
    for number in range(25):
        ssm.put_parameter(Name=f"{PATH}/NAME_{number}", Value=f"{SECRET}-{number}", Type="SecureString")
    ssm.put_parameter(Name=f"{PATH}/below/api_key", Value="elsewhere", Type="SecureString")
    ssm.put_parameter(Name=f"{PATH}2/NAME", Value="elsewhere", Type="SecureString")

    found = ParameterPath.open(PATH + "/", attempts=1).read()

    assert found == {f"NAME_{number}": f"{SECRET}-{number}" for number in range(25)}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            answer("AccessDeniedException", "User x is not authorized to perform: ssm:GetParametersByPath"),
            r"AccessDenied.*ssm:GetParametersByPath on arn:aws:ssm:eu-central-1:\*:parameter/midstream/prod/orders ",
        ),
        (answer("AccessDeniedException", "The ciphertext refers to a key that you may not use"), "kms:Decrypt"),
        (answer("AccessDeniedException", "not authorized to perform: kms:Decrypt on resource"), "kms:Decrypt"),
        (answer("InvalidKeyId"), "KMS key .* is disabled or gone"),
        (answer("ExpiredTokenException"), "have expired; renew them"),
        (answer("UnrecognizedClientException"), "credentials are not taken"),
        (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "no AWS credentials"),
    ],
    ids=["access", "key", "key by name", "key gone", "expired", "unknown", "half"],
)
def test_what_an_operator_must_do_is_said(ssm: Any, error: Exception, said: str) -> None:
    with pytest.raises(SecretRefused, match=said) as refusal:
        ParameterPath(Failing(ssm, error), PATH).read()

    assert PATH in str(refusal.value)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_is_the_one_that_any_aws_program_would_take(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv(name, "eu-west-3")

    assert ParameterPath.open(PATH, attempts=1).client.meta.region_name == "eu-west-3"


@pytest.mark.parametrize(
    "error",
    [
        answer("ThrottlingException"),
        answer("InternalServerError"),
        EndpointConnectionError(endpoint_url="https://ssm.example"),
    ],
    ids=["throttled", "broken", "away"],
)
def test_what_may_pass_is_no_refusal(ssm: Any, error: Exception) -> None:
    with pytest.raises(SecretUnavailable, match=PATH) as trouble:
        ParameterPath(Failing(ssm, error), PATH).read()

    assert SECRET not in str(trouble.value)


def test_pages_that_come_slowly_are_not_waited_for_without_end(ssm: Any, fake_clock: FakeClock) -> None:
    path = ParameterPath(Failing(ssm, clock=fake_clock), PATH, monotonic_ns=fake_clock.monotonic_ns)

    with pytest.raises(SecretUnavailable, match="not read to its end in 60 s"):
        path.read()
