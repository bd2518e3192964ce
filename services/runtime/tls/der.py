"""Read when a certificate is valid; the standard library tells that of a peer's certificate only, and only where it is a socket's."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class Validity:
    """From when until when a certificate is good, in UTC nanoseconds."""

    not_before_ns: int
    not_after_ns: int


def first_certificate(pem: str | bytes) -> bytes:
    """Return the first certificate of a PEM text as DER. Raises ValueError when there is none."""
    text = pem.decode("ascii", "replace") if isinstance(pem, bytes) else pem
    start = text.find(_BEGIN)
    end = text.find(_END, start)
    if start < 0 or end < 0:
        raise ValueError("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    return ssl.PEM_cert_to_DER_cert(text[start : end + len(_END)])


def validity(der: bytes) -> Validity:
    """Return when a certificate is valid. Raises ValueError for what is no certificate."""
    # Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version, serialNumber, signature, issuer, validity, ... } ... }
    body = _Reader(_Reader(der).take(_SEQUENCE)).take(_SEQUENCE)
    fields = _Reader(body)
    if fields.peek() == _VERSION:
        fields.skip()
    for _field in ("serialNumber", "signature", "issuer"):
        fields.skip()
    times = _Reader(fields.take(_SEQUENCE))
    return Validity(times.time_ns(), times.time_ns())


class _Reader:
    """Steps through tag, length and value; every length is checked against what is there."""

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded
        self._position = 0

    def peek(self) -> int:
        if self._position >= len(self._encoded):
            raise ValueError("the certificate ends in the middle")
        return self._encoded[self._position]

    def skip(self) -> bytes:
        self.peek()
        length, start = self._length(self._position + 1)
        if start + length > len(self._encoded):
            raise ValueError("the certificate ends in the middle")
        self._position = start + length
        return self._encoded[start : start + length]

    def take(self, tag: int) -> bytes:
        if self.peek() != tag:
            raise ValueError(f"the certificate has {self.peek():#x} where {tag:#x} belongs")
        return self.skip()

    def time_ns(self) -> int:
        tag = self.peek()
        text = self.skip().decode("ascii", "replace")
        if tag == _UTC_TIME:
            # Two digits of a year: 50 to 99 are of the last century (RFC 5280, 4.1.2.5.1).
            text = ("19" if text[:2] >= "50" else "20") + text
        elif tag != _GENERALIZED_TIME:
            raise ValueError(f"the certificate has {tag:#x} where a time belongs")
        moment = datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
        return int(moment.timestamp()) * 1_000_000_000

    def _length(self, at: int) -> tuple[int, int]:
        """Return the length that begins at `at`, and where its value begins."""
        if at >= len(self._encoded):
            raise ValueError("the certificate ends in the middle")
        first = self._encoded[at]
        if first < 0x80:
            return first, at + 1
        count = first & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("the certificate has a length that no certificate has")
        return int.from_bytes(self._encoded[at + 1 : at + 1 + count], "big"), at + 1 + count
