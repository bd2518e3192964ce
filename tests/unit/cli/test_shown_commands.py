"""What `serve` suggests to type fits how it serves."""

from __future__ import annotations

import pytest

from services.cli.shown_commands import Shown

TLS = {"MIDSTREAM_TLS_CERT": "server.pem"}
MUTUAL = {**TLS, "MIDSTREAM_TLS_CLIENT_CA": "clients.pem"}
OWN = {"MIDSTREAM_TLS_CA": "our.pem", "MIDSTREAM_TLS_CLIENT_CERT": "me.pem", "MIDSTREAM_TLS_CLIENT_KEY": "me-key.pem"}


@pytest.mark.parametrize(
    ("environment", "grpcurl", "curl", "midstream", "schemes"),
    [
        ({}, "-plaintext", "", "", ("grpc", "http")),
        (OWN, "-plaintext", "", "", ("grpc", "http")),
        (TLS, "-cacert ca.pem", "--cacert ca.pem ", " --cacert ca.pem", ("grpcs", "https")),
        (
            MUTUAL,
            "-cacert ca.pem -cert client.pem -key client-key.pem",
            "--cacert ca.pem --cert client.pem --key client-key.pem ",
            " --cacert ca.pem --cert client.pem --key client-key.pem",
            ("grpcs", "https"),
        ),
        (
            {**MUTUAL, **OWN},
            "-cacert our.pem -cert me.pem -key me-key.pem",
            "--cacert our.pem --cert me.pem --key me-key.pem ",
            "",
            ("grpcs", "https"),
        ),
        (
            {"MIDSTREAM_AUTH": "certificates, keys"},
            "-plaintext -expand-headers -H 'authorization: Bearer ${MIDSTREAM_API_KEY}'",
            "",
            "",
            ("grpc", "http"),
        ),
    ],
    ids=["plain", "plain, with files of a client", "TLS", "mTLS", "mTLS, with files of a client", "keys"],
)
def test_options_and_schemes(
    environment: dict[str, str], grpcurl: str, curl: str, midstream: str, schemes: tuple[str, str]
) -> None:
    shown = Shown(environment)

    assert (shown.grpcurl, shown.curl, shown.midstream) == (grpcurl, curl, midstream)
    assert (shown.grpc, shown.http) == schemes
