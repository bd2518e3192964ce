"""Read certificate, key and authorities as one set that fits together, or say in one line why it does not."""

from __future__ import annotations

import os
import re
import ssl
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.runtime.tls.der import first_certificate, validity

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""The bundle of every public authority has a quarter of a megabyte."""

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATE: Final = b"CERTIFICATE"


class Unusable(ValueError):
    """This set cannot be served with; the text names the file and what to do."""


@dataclass(frozen=True)
class Paths:
    """Where a server's files are."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def all(self) -> tuple[Path, ...]:
        """Return them in the order in which they are read."""
        return (self.cert, self.key) if self.client_ca is None else (self.cert, self.key, self.client_ca)


@dataclass(frozen=True)
class Contents:
    """What was in the files at one moment."""

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)
    client_ca: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Material:
    """A set that fits together. Nothing in it changes: new files make a new one."""

    contents: Contents
    """As PEM, without what stands between the blocks."""
    context: ssl.SSLContext
    """For listeners on the standard library's TLS."""
    not_after_ns: int
    """When the server's certificate ends."""


def read_contents(paths: Paths) -> Contents:
    """Read the files. Raises Unusable, also for what is no file: nothing here waits for a writer."""
    return Contents(
        _read(paths.cert), _read_key(paths.key), None if paths.client_ca is None else _read(paths.client_ca)
    )


def make_material(paths: Paths, contents: Contents, *, wall_ns: int) -> Material:
    """Check `contents` and return what to serve with. Raises Unusable.

    OpenSSL reads certificate and key from the paths alone, so that whoever read `contents` has to look whether they are the same still.
    """
    chain = _blocks(paths.cert, contents.chain, _CERTIFICATE)
    client_ca = None
    if paths.client_ca is not None and contents.client_ca is not None:
        client_ca = _blocks(paths.client_ca, contents.client_ca, _CERTIFICATE)
    not_after_ns = _check_validity(paths.cert, chain, wall_ns)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # As gRPC does: a client that has none of these is refused.
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A passphrase would be asked for on the terminal otherwise.
        context.load_cert_chain(paths.cert, paths.key, password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as exc:
        raise Unusable(_pair_problem(paths, contents, exc)) from exc
    if paths.client_ca is not None and client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=client_ca.decode("ascii"))
        except (ssl.SSLError, ValueError) as exc:
            raise Unusable(f"{paths.client_ca} holds a certificate that cannot be read ({_reason(exc)})") from exc
    return Material(Contents(chain, contents.key, client_ca), context, not_after_ns)


def _read(path: Path) -> bytes:
    return _opened(path)[0]


def _read_key(path: Path) -> bytes:
    text, found = _opened(path)
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (0, os.geteuid()):
        raise Unusable(f"the key {path} belongs to another user: `chown` it to the one that the server runs as")
    if mode & 0o027:
        raise Unusable(
            f"the key {path} has mode {mode:04o}, which others can use: `chmod 600 {path}` (0640 for a group)"
        )
    return text


def _opened(path: Path) -> tuple[bytes, os.stat_result]:
    """Return what is in a file, and whose it is."""
    try:
        # Without O_NONBLOCK, opening a pipe waits for somebody who writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise Unusable(f"{path} is not a file")
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                text = opened.read(FILE_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise Unusable(f"{path} cannot be read ({exc.strerror or exc})") from exc
    if len(text) > FILE_BYTES_MAX:
        raise Unusable(f"{path} is larger than {FILE_BYTES_MAX} bytes, which no certificate is")
    return text, found


def _blocks(path: Path, text: bytes, kind: bytes) -> bytes:
    """Return the blocks of one kind alone; a text that ends within one is half of a file."""
    found = [match for match in _BLOCK.finditer(text) if match[1] == kind]
    if text.count(b"-----BEGIN " + kind + b"-----") != len(found):
        raise Unusable(f"{path} ends in the middle of a certificate")
    if not found:
        raise Unusable(f"{path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return b"".join(match[0] + b"\n" for match in found)


def _check_validity(path: Path, chain: bytes, wall_ns: int) -> int:
    try:
        found = validity(first_certificate(chain))
    except ValueError as exc:
        raise Unusable(f"{path} holds a certificate that cannot be read ({exc})") from exc
    if wall_ns >= found.not_after_ns:
        raise Unusable(f"the certificate {path} expired at {_shown(found.not_after_ns)}: put a new one there")
    if wall_ns < found.not_before_ns:
        raise Unusable(
            f"the certificate {path} is not valid before {_shown(found.not_before_ns)}: put another one there, or set the clock"
        )
    return found.not_after_ns


def _pair_problem(paths: Paths, contents: Contents, exc: Exception) -> str:
    if b"ENCRYPTED" in contents.key:
        return f"the key {paths.key} is encrypted: decrypt it (`openssl pkey -in ... -out ...`), its mode protects it"
    if isinstance(exc, ssl.SSLError) and exc.reason == "KEY_VALUES_MISMATCH":
        return f"the key {paths.key} is not that of the certificate {paths.cert}: put both of one pair there"
    if b"PRIVATE KEY-----" not in contents.key or b"-----END" not in contents.key:
        return f"{paths.key} holds no whole private key in PEM form (-----BEGIN PRIVATE KEY-----)"
    return f"{paths.cert} and {paths.key} cannot be used ({_reason(exc)})"


def _reason(exc: Exception) -> str:
    if isinstance(exc, ssl.SSLError) and exc.reason:
        return exc.reason.replace("_", " ").lower()
    return str(exc).splitlines()[0] if str(exc) else type(exc).__name__


def _shown(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds")
