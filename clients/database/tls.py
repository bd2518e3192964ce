"""TLS towards Postgres, in the words that its users know from `psql`: `sslmode`, `sslrootcert`, `sslcert`, `sslkey` in the URL."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import URL

from clients.secrets.tls_reasons import reason_of

__all__ = ["PostgresTls", "TlsTrouble"]

MODES: Final = ("disable", "prefer", "require", "verify-ca", "verify-full")
"""From nothing to everything. `prefer`, the default, speaks TLS where the server does, and verifies nothing."""

VERSION_MIN: Final = ssl.TLSVersion.TLSv1_2

_NAMES: Final = ("sslmode", "ssl", "sslrootcert", "sslcert", "sslkey")
_NAME_MISMATCH: Final = (62, 64)
_EXPIRED: Final = (9, 10)
"""OpenSSL's numbers for a certificate that is for another host or address, and for one that is not valid (yet, or any more)."""
_NOT_LET_IN: Final = "28000"
"""Postgres' code for a connection that its rules do not allow, whatever the password is."""


class TlsTrouble(OSError):
    """TLS with the database does not come about, and waiting alone will not change that; the text says what to set."""


@dataclass(frozen=True)
class PostgresTls:
    """What a URL says of TLS."""

    mode: str
    authorities: str
    """File that `sslrootcert` names; empty, or `system`, is the system's."""
    certificate: str
    key: str
    at: str
    """Host and port, for people."""

    @classmethod
    def of(cls, url: URL) -> PostgresTls:
        """Read a URL; raise ValueError for what it cannot be."""
        said = {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}
        mode = said.get("sslmode") or said.get("ssl") or "prefer"
        certificate, key = said.get("sslcert", ""), said.get("sslkey", "")
        if mode not in MODES:
            raise ValueError(f"sslmode={mode} is none: it is one of {', '.join(MODES)}")
        if bool(certificate) != bool(key):
            raise ValueError("sslcert and sslkey go together: name both")
        if mode in ("disable", "prefer") and (certificate or said.get("sslrootcert")):
            raise ValueError(f"with sslmode={mode} no certificate is looked at: use sslmode=verify-full")
        return cls(mode, said.get("sslrootcert", ""), certificate, key, f"{url.host or 'localhost'}:{url.port or 5432}")

    def check_files(self) -> None:
        """Raise ValueError for a file that is not there."""
        for name, path in (("sslrootcert", self.authorities), ("sslcert", self.certificate), ("sslkey", self.key)):
            if path not in ("", "system") and not Path(path).is_file():
                raise ValueError(f"{name}: there is no file {path}")

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        """Connect; raise TlsTrouble where that is why it fails. The files are read each time, so that new ones count."""
        try:
            options["ssl"] = self._ssl()
        except (OSError, ValueError) as exc:
            raise TlsTrouble(f"a file of TLS for Postgres cannot be used ({reason_of(exc)}): {self._files()}") from exc
        # Only here: most processes use SQLite.
        import asyncpg

        try:
            return await asyncpg.connect(*arguments, **options)
        except (OSError, asyncpg.PostgresError) as exc:
            trouble = self._trouble(exc)
            if trouble:
                raise TlsTrouble(trouble) from exc
            raise

    def _ssl(self) -> Any:
        if self.mode in ("disable", "prefer"):
            return self.mode
        context = ssl.create_default_context()
        context.minimum_version = VERSION_MIN
        context.check_hostname = self.mode == "verify-full"
        if self.mode == "require" and not self.authorities:
            context.verify_mode = ssl.CERT_NONE
        if self.authorities not in ("", "system"):
            # The one named, and no other: that is what `psql` does.
            context = _only(context, self.authorities)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def _files(self) -> str:
        named = {"sslrootcert": self.authorities, "sslcert": self.certificate, "sslkey": self.key}
        return ", ".join(f"{name}={path}" for name, path in named.items() if path)

    def _trouble(self, exc: Exception) -> str:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return self._unverified(exc)
        if isinstance(exc, ssl.SSLError):
            return f"TLS with Postgres at {self.at} failed: {reason_of(exc)}"
        if getattr(exc, "sqlstate", "") == _NOT_LET_IN:
            said = str(exc)
            if "client certificate" in said:
                return f"Postgres at {self.at} wants a client certificate: add sslcert= and sslkey= to the URL"
            if said.endswith("no encryption"):
                return f"Postgres at {self.at} takes us only with TLS: add sslmode=verify-full to the URL"
            return ""
        if isinstance(exc, ConnectionError) and "SSL upgrade" in str(exc):
            return f"Postgres at {self.at} speaks no TLS: turn it on there (`ssl = on`), or use sslmode=disable"
        return ""

    def _unverified(self, exc: ssl.SSLCertVerificationError) -> str:
        whose = f"the certificate of Postgres at {self.at} is"
        if exc.verify_code in _NAME_MISMATCH:
            said = exc.verify_message.rstrip(".")
            return f"{whose} for another name ({said}): use a name from the certificate in the URL"
        if exc.verify_code in _EXPIRED:
            return f"{whose} not valid now ({exc.verify_message}): renew it there"
        return (
            f"{whose} from an authority that is not trusted here ({exc.verify_message}): "
            "name the file of its authority with sslrootcert="
        )


def without_tls(url: URL) -> URL:
    """Return the URL without what it says of TLS."""
    return url.difference_update_query(_NAMES)


def _only(context: ssl.SSLContext, authorities: str) -> ssl.SSLContext:
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    strict.minimum_version = context.minimum_version
    strict.check_hostname = context.check_hostname
    strict.load_verify_locations(authorities)
    return strict
