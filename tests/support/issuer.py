"""An issuer of JSON web tokens: good ones, and every kind that must not pass."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.test/"
AUDIENCE = "midstream"


class Issuer:
    """Signs with an RSA key `rsa-1` and a P-256 key `ec-1`."""

    def __init__(self, *, issuer: str = ISSUER) -> None:
        self.issuer = issuer
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())

    def key_set(self, *ids: str, **more: Any) -> dict[str, Any]:
        """Return the JSON web key set, of all keys or of those named."""
        keys = [
            {**RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True), "kid": "rsa-1", "use": "sig", **more},
            {**ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True), "kid": "ec-1", **more},
        ]
        return {"keys": [key for key in keys if not ids or key["kid"] in ids]}

    def claims(self, *roles: str, now_s: float | None = None, **changes: Any) -> dict[str, Any]:
        """Return claims of a good token; a change to None leaves one out."""
        now_s = time.time() if now_s is None else now_s
        claims = {
            "iss": self.issuer, "aud": AUDIENCE, "sub": "anna@desk", "iat": int(now_s), "exp": int(now_s) + 600,
            "roles": list(roles), **changes,
        }  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self, *roles: str, kid: str | None = "rsa-1", header: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        """Return a signed token."""
        is_ec = kid == "ec-1"
        headers = {**({} if kid is None else {"kid": kid}), **(header or {})}
        signed: str = jwt.encode(
            self.claims(*roles, **changes),
            self.ec if is_ec else self.rsa,
            algorithm="ES256" if is_ec else "RS256",
            headers=headers,
        )
        return signed

    def unsigned(self, *roles: str, algorithm: str = "none", signature: str = "") -> str:
        """Return a token of the algorithm `none`, in whatever spelling."""
        return f"{self._head_and_claims({'alg': algorithm, 'typ': 'JWT', 'kid': 'rsa-1'}, *roles)}.{signature}"

    def confused(self, *roles: str) -> str:
        """Return a token that is signed by HMAC with the public key as its secret, as anybody can."""
        secret = self.rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        text = self._head_and_claims({"alg": "HS256", "typ": "JWT", "kid": "rsa-1"}, *roles)
        return f"{text}.{_encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    def bad_tokens(self, *roles: str) -> dict[str, str]:
        """Return one token of every kind that must be refused, by what is wrong with it."""
        now_s = int(time.time())
        good = self.token(*roles)
        head, claims, signature = good.split(".")
        longer = _encoded(json.dumps(self.claims("admin")).encode())
        return {
            "algorithm none": self.unsigned(*roles),
            "algorithm None": self.unsigned(*roles, algorithm="None"),
            "algorithm none with a signature": self.unsigned(*roles, signature=signature),
            "HS256 with the public key": self.confused(*roles),
            "RS256 key used for ES256": self._head_and_claims({"alg": "ES256", "kid": "rsa-1"}, *roles)
            + "."
            + signature,
            "another issuer's key": Issuer().token(*roles),
            "wrong issuer": self.token(*roles, iss="https://other.test/"),
            "wrong audience": self.token(*roles, aud="another-service"),
            "wrong audiences": self.token(*roles, aud=["a", "b"]),
            "no audience": self.token(*roles, aud=None),
            "no issuer": self.token(*roles, iss=None),
            "no subject": self.token(*roles, sub=None),
            "a subject with a line break": self.token(*roles, sub="a\nb"),
            "no end": self.token(*roles, exp=None),
            "expired": self.token(*roles, exp=now_s - 61),
            "ends in text": self.token(*roles, exp="never"),
            "ends in infinity": self.token(*roles, exp=1e308),
            "not valid yet": self.token(*roles, nbf=now_s + 120),
            "unknown key id": self.token(*roles, header={"kid": "rsa-2"}),
            "key id of the other key": self.token(*roles, header={"kid": "ec-1"}),
            "no key id": self.token(*roles, kid=None),
            "critical header": self.token(*roles, header={"crit": ["b64"], "b64": True}),
            "changed claims": f"{head}.{longer}.{signature}",
            "changed signature": f"{head}.{claims}.{signature[:-4]}AAAA",
            "cut": f"{head}.{claims}",
            "too long": self.token(*roles, padding="x" * 8192),
            "garbage": "eyJ.eyJ.eyJ",
        }

    def _head_and_claims(self, header: dict[str, Any], *roles: str) -> str:
        return ".".join(_encoded(json.dumps(part).encode()) for part in (header, self.claims(*roles)))


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
