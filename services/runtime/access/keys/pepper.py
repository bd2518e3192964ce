"""The secret that API keys are kept under. It is no part of the database, so that rows alone neither admit anybody nor sign anything."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clients.database import usable_url
from clients.secrets import SecretRefused, read_secret_file
from clients.secrets.private_files import private_directory, write_once
from services.runtime.errors import StartRefused

VALUE_BYTES: Final = 32
_PURPOSES: Final = {"id": b"midstream keys: id", "proof": b"midstream keys: proof", "seal": b"midstream keys: seal"}
NAME: Final = "orders.keys"
"""Of the file, where the database is none."""


@dataclass(frozen=True)
class Pepper:
    """One secret of 256 bits. What it gives for one purpose says nothing about another."""

    value: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What rows call it by: tells whether the right file is there, and nothing about it."""
        return self._derived("id", b"")[:4].hex()

    def proof(self, digest: str) -> str:
        """Return what is compared: whoever has it cannot make the key of it, nor sign with it."""
        return self._derived("proof", digest.encode()).hex()

    def sealed(self, key_id: str, digest: str) -> str:
        """Return the digest of a key's secret, which signs, hidden under a pad that no other key has. Opens it again, too."""
        pad = self._derived("seal", key_id.encode())
        return bytes(one ^ other for one, other in zip(bytes.fromhex(digest), pad, strict=True)).hex()

    def _derived(self, purpose: str, text: bytes) -> bytes:
        return hmac.new(self.value, _PURPOSES[purpose] + b"\n" + text, hashlib.sha256).digest()


@dataclass(frozen=True)
class PepperSource:
    """Where the secret of a database's keys is: in a setting, or in a file."""

    file: Path
    text: str = field(default="", repr=False)

    def load(self) -> Pepper | None:
        """Return it; None where there is no such file. Raises StartRefused for one that others can read, or that holds none."""
        if self.text:
            return Pepper(hashlib.sha256(self.text.encode()).digest())
        if not self.file.exists():
            return None
        try:
            content = read_secret_file(self.file)
        except SecretRefused as exc:
            raise StartRefused(f"the secret of API keys cannot be used: {exc}") from exc
        try:
            value = bytes.fromhex(content)
        except ValueError:
            value = b""
        if len(value) != VALUE_BYTES:
            raise StartRefused(
                f"{self.file} holds no secret of API keys (64 hexadecimal digits): restore it from a backup, or name the right one "
                "with MIDSTREAM_KEYS_SECRET_FILE"
            )
        return Pepper(value)

    def make(self) -> Pepper:
        """Make the file, or take the one that somebody else has just made. Raises StartRefused where it cannot be written."""
        try:
            if not self.file.parent.exists():
                private_directory(self.file.parent)
            write_once(self.file, secrets.token_bytes(VALUE_BYTES).hex().encode() + b"\n")
        except OSError as exc:
            raise StartRefused(
                f"the secret of API keys cannot be written to {self.file}: {exc.strerror or exc}; make the directory writable, or name "
                "another file with MIDSTREAM_KEYS_SECRET_FILE"
            ) from exc
        made = self.load()
        assert made is not None  # it is there, and it is whole
        return made

    def __str__(self) -> str:
        return "MIDSTREAM_KEYS_SECRET" if self.text else str(self.file.absolute())


def pepper_source(database_url: str, *, file: Path | None, text: str, directory: Path) -> PepperSource:
    """Return where the secret is: as the settings say, else beside a SQLite database, else in the `directory` of files."""
    if file is not None:
        return PepperSource(file, text)
    parsed = usable_url(database_url)
    if parsed.drivername.startswith("sqlite") and parsed.database:
        return PepperSource(Path(parsed.database).with_suffix(".keys"), text)
    return PepperSource(directory / NAME, text)
