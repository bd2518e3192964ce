"""Everything under one path of AWS Parameter Store (extra `aws`), decrypted, and what is said when it cannot be read."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any, Final, Self

from clients.resilience.ports import MonotonicNs
from clients.secrets.errors import SecretError, SecretRefused, SecretUnavailable

PAGES_MAX: Final = 20
"""Of ten parameters each; a path with more is not the path of one key, or of one server's settings."""
READ_S_MAX: Final = 60.0
"""Seconds after which no further page is asked for; a request has bounds of its own."""

_PATH: Final = re.compile(r"(/[A-Za-z0-9_.-]+){1,15}/?")
_CREDENTIALS: Final = "the credentials are not taken; renew them, and look at AWS_REGION"
_FIXES: Final[Mapping[str, str]] = {
    "AccessDeniedException": "allow ssm:GetParametersByPath on {arn} to who runs this (in ECS, the task role)",
    "ExpiredTokenException": "the credentials have expired; renew them",
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidKeyId": "the KMS key of a parameter is disabled or gone; store that parameter again under one that is there",
    "InvalidSignatureException": _CREDENTIALS,
    "MissingAuthenticationToken": _CREDENTIALS,
    "UnrecognizedClientException": _CREDENTIALS,
    "ValidationException": "look at the path",
}
"""What to do about codes that asking again does not change."""
_KEY_DENIED: Final = "allow kms:Decrypt on the KMS key of these parameters to who runs this (in ECS, the task role)"
_OF_KEYS: Final = ("kms", "ciphertext")
"""Words of the store's sentence when it is the key that may not be used: the code is the same."""


class ParameterPath:
    """Reads all parameters directly below a path. Texts of errors name path and codes, never a value or the store's own sentence."""

    def __init__(self, client: Any, path: str, *, monotonic_ns: MonotonicNs = time.monotonic_ns) -> None:
        _check(path)
        self.client = client
        self.path = path.rstrip("/")
        self._monotonic_ns = monotonic_ns

    @classmethod
    def open(cls, path: str, *, attempts: int) -> Self:
        """Return the path in the account and region that the AWS environment names; nothing is sent yet."""
        _check(path)
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError:
            raise SecretRefused(
                f"Parameter Store path {path}: the extra `aws` is not installed; run pip install 'midstream[aws]'"
            ) from None
        config = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": attempts})
        try:
            # AWS_REGION is what every other program of Amazon's reads; this library knows AWS_DEFAULT_REGION and profiles alone.
            client = boto3.client("ssm", config=config, region_name=os.environ.get("AWS_REGION") or None)
        # An address that AWS_ENDPOINT_URL gives and that is none is a ValueError.
        except (BotoCoreError, ValueError) as exc:
            raise SecretRefused(
                f"Parameter Store cannot be used: {type(exc).__name__}; set AWS_REGION and credentials"
            ) from None
        return cls(client, path)

    def read(self) -> dict[str, str]:
        """Return every value by its name below the path. Raises SecretRefused where an operator must act, SecretUnavailable where
        asking again later may do."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        found: dict[str, str] = {}
        more: dict[str, str] = {}
        end_ns = self._monotonic_ns() + int(READ_S_MAX * 1e9)
        try:
            for _ in range(PAGES_MAX):
                if self._monotonic_ns() > end_ns:
                    raise SecretUnavailable(
                        f"Parameter Store path {self.path} was not read to its end in {READ_S_MAX:g} s"
                    )
                page = self.client.get_parameters_by_path(Path=self.path, WithDecryption=True, MaxResults=10, **more)
                for parameter in page["Parameters"]:
                    found[parameter["Name"].removeprefix(self.path + "/")] = parameter["Value"]
                if not page.get("NextToken"):
                    return found
                more = {"NextToken": page["NextToken"]}
        except (NoCredentialsError, PartialCredentialsError):
            raise SecretRefused(f"Parameter Store path {self.path}: there are no AWS credentials; set them") from None
        except ClientError as exc:
            raise self._failure(exc.response.get("Error", {})) from None
        except BotoCoreError as exc:
            raise SecretUnavailable(f"Parameter Store path {self.path} cannot be asked: {type(exc).__name__}") from None
        raise SecretRefused(
            f"Parameter Store path {self.path} holds more than {PAGES_MAX} pages; give these parameters a path of their own"
        )

    def _failure(self, error: Mapping[str, Any]) -> SecretError:
        code = str(error.get("Code", "unknown"))
        text = f"Parameter Store path {self.path}: the answer was {code}"
        fix = _FIXES.get(code)
        if fix is None:
            return SecretUnavailable(text)
        # Its sentence is looked at and not passed on: it may quote what it was sent.
        if code == "AccessDeniedException" and any(word in str(error.get("Message", "")).lower() for word in _OF_KEYS):
            fix = _KEY_DENIED
        return SecretRefused(f"{text}; {fix.format(arn=self._arn())}")

    def _arn(self) -> str:
        region = getattr(getattr(self.client, "meta", None), "region_name", None) or "*"
        return f"arn:aws:ssm:{region}:*:parameter{self.path}"


def _check(path: str) -> None:
    if _PATH.fullmatch(path) is None:
        raise SecretRefused(f"the Parameter Store path {path!r} is not usable; use one like /midstream/binance")
