"""Settings of TLS and of who may call, shared by every gRPC server with its web face and its metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Final

AUTHENTICATORS: Final = ("keys", "certificates", "tokens")
"""What MIDSTREAM_AUTH may name."""


def pair_problem(cert: Path | None, key: Path | None, client_ca: Path | None) -> str:
    """Say what is wrong with a set of files for TLS; empty when it is usable as a set."""
    if (cert is None) != (key is None):
        missing = "MIDSTREAM_TLS_KEY" if key is None else "MIDSTREAM_TLS_CERT"
        return f"MIDSTREAM_TLS_CERT and MIDSTREAM_TLS_KEY go together: set {missing}, too"
    if client_ca is not None and cert is None:
        return "MIDSTREAM_TLS_CLIENT_CA asks for client certificates, which needs TLS: set MIDSTREAM_TLS_CERT and MIDSTREAM_TLS_KEY"
    return ""
