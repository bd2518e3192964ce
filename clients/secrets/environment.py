"""Read an exchange's API key from two variables, two files, or Parameter Store; never from more than one of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from clients.secrets.api_key import ApiKey
from clients.secrets.errors import SecretRefused
from clients.secrets.files import read_secret_file
from clients.secrets.parameter_store import ParameterStore

_EXCHANGE: Final = re.compile(r"[a-z][a-z0-9]{0,31}")


class KeySource(Protocol):
    """Gives the key whenever it is asked; ask for each signature, so that a rotated key takes effect."""

    async def key(self) -> ApiKey: ...


@dataclass(frozen=True)
class FixedKey:
    """A key that stays as it was loaded."""

    value: ApiKey = field(repr=False)

    async def key(self) -> ApiKey:
        return self.value


def key_source(
    exchange: str,
    environ: Mapping[str, str] | None = None,
    *,
    parameter_store: Callable[[str], KeySource] = ParameterStore.open,
) -> KeySource | None:
    """Return the source that the environment names for an exchange; None when it names none: only public data then.

    `MIDSTREAM_BINANCE_API_KEY` and `MIDSTREAM_BINANCE_API_SECRET`, or both with `_FILE` (each may be given either way), or
    `MIDSTREAM_BINANCE_SSM_PATH`. Raises SecretRefused for half a key, for two ways at once, for a file that others can read.
    """
    environment = os.environ if environ is None else environ
    if _EXCHANGE.fullmatch(exchange) is None:
        raise ValueError(f"not the name of an exchange: {exchange!r}")
    prefix = f"MIDSTREAM_{exchange.upper()}"
    key_id = _read(environment, f"{prefix}_API_KEY")
    secret = _read(environment, f"{prefix}_API_SECRET")
    path = environment.get(f"{prefix}_SSM_PATH", "")
    if path and (key_id or secret):
        raise SecretRefused(f"{prefix}_SSM_PATH is set, and {prefix}_API_KEY or _API_SECRET too; keep one of them")
    if path:
        return parameter_store(path)
    if not key_id and not secret:
        return None
    if not key_id or not secret:
        missing = f"{prefix}_API_SECRET" if key_id else f"{prefix}_API_KEY"
        raise SecretRefused(f"{missing} (or {missing}_FILE) is not set, but its other half is")
    return FixedKey(ApiKey(key_id, secret))


def variables_of(exchange: str) -> dict[str, str]:
    """Return the variables that `key_source` reads for an exchange, each with a sentence."""
    prefix = f"MIDSTREAM_{exchange.upper()}"
    return {
        f"{prefix}_API_KEY": "Id of the API key; without one only public data is to be had.",
        f"{prefix}_API_KEY_FILE": "File with the id of the API key, mode 0600.",
        f"{prefix}_API_SECRET": "Secret of the API key; it never shows in logs.",
        f"{prefix}_API_SECRET_FILE": "File with the secret of the API key, mode 0600.",
        f"{prefix}_SSM_PATH": "Path in AWS Parameter Store that holds both (extra `aws`); rotation is followed within a minute.",
    }


def _read(environment: Mapping[str, str], name: str) -> str:
    value, file = environment.get(name, ""), environment.get(f"{name}_FILE", "")
    if value and file:
        raise SecretRefused(f"{name} and {name}_FILE are both set; keep one of them")
    if not file:
        return value
    text = read_secret_file(Path(file))
    if not text:
        raise SecretRefused(f"secret file {file!r} ({name}_FILE) is empty")
    return text
