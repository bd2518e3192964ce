"""Authorities and certificates for tests, made on the spot."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain, and its key, as PEM."""

    chain: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write `NAME.pem` and `NAME-key.pem` as an operator would; return both."""
        cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
        cert.write_bytes(self.chain)
        key.touch(mode=0o600)
        key.write_bytes(self.key)
        return cert, key


SIGNS: Final = x509.KeyUsage(
    digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip
"""What an authority's key is for; a server's own may be its own authority."""


class Authority:
    """One that signs for servers and clients."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("midstream test authority")
        now = datetime.now(UTC)
        signed = (
            _builder(name, name, key, now - 10 * DAY, now + 60 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            # Python 3.13 takes no authority that does not say it signs certificates.
            .add_extension(SIGNS, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        self._key, self._name = key, name
        self.pem: bytes = signed.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def of(cls, certificate: Path, key: Path) -> Authority:
        """Return one that somebody else has made."""
        found = cls()
        read = serialization.load_pem_private_key(key.read_bytes(), None)
        assert isinstance(read, ec.EllipticCurvePrivateKey)
        found._key, found.pem = read, certificate.read_bytes()
        found._name = x509.load_pem_x509_certificate(found.pem).subject
        return found

    def pair(
        self, *names: str, common_name: str = "someone", before: datetime | None = None, after: datetime | None = None
    ) -> Pair:
        """Return a certificate for `names` (hosts, addresses, `spiffe://...`, `x@y.z`), valid from `before` until `after`."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = _builder(_name(common_name), self._name, key, before or now - DAY, after or now + 30 * DAY)
        # Two authorities of one name are told apart by their keys, as real ones are that got a new key.
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        chain = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pair(chain, _written(key))

    def write(self, folder: Path, name: str = "ca") -> Path:
        """Write the authority's certificate."""
        path = folder / f"{name}.pem"
        path.write_bytes(self.pem)
        return path

    def trusting(self, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Return what a client that trusts this authority uses, with `shown` as its own certificate and key."""
        context = ssl.create_default_context(cadata=self.pem.decode())
        if shown is not None:
            context.load_cert_chain(*shown)
        return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, before: datetime, after: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(before)
        .not_valid_after(after)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    made: list[x509.GeneralName] = []
    for name in names:
        if "://" in name:
            made.append(x509.UniformResourceIdentifier(name))
        elif "@" in name:
            made.append(x509.RFC822Name(name))
        else:
            try:
                made.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                made.append(x509.DNSName(name))
    return made


def _written(key: ec.EllipticCurvePrivateKey) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
