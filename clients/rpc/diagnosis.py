"""Why a call did not get through: gRPC says "Socket closed" to most of it, so the port is asked by hand."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, unique
from typing import Final

from clients.rpc.channel import ChannelSettings, UnusableChannel
from clients.rpc.places import host_of

__all__ = ["Diagnosis", "Trouble", "diagnose"]

PATIENCE_S: Final = 3.0
"""Somebody waits for the answer; a server that says nothing for this long says nothing."""

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
"""What a client of gRPC begins with; a server answers at once."""


@unique
class Trouble(Enum):
    """Whose it is to mend."""

    CALLER = "caller"
    SERVER = "server"


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong, in one line that names the fix."""

    sentence: str
    trouble: Trouble


def diagnose(address: str, settings: ChannelSettings) -> Diagnosis | None:
    """Look why no call gets through to `address`; None where nothing listens, or nothing is wrong with the connection."""
    try:
        return _with_tls(address, settings) if settings.speaks_tls else _without(address, settings)
    except UnusableChannel as exc:
        return Diagnosis(str(exc), Trouble.CALLER)
    except OSError:
        return None


def _without(address: str, settings: ChannelSettings) -> Diagnosis | None:
    """Say whether a port that was called in plain text speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with _connected(address) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host_of(address)):
                speaks = True
        except ssl.SSLError as exc:
            speaks = "ALERT" in str(exc.reason)
        except OSError:
            speaks = False
    if not speaks:
        return None
    return _caller(
        f"the server on {address} speaks TLS: use {settings.names.ca} FILE with the authority of its certificate "
        f"(or {settings.names.tls})"
    )


def _with_tls(address: str, settings: ChannelSettings) -> Diagnosis | None:
    context = settings.ssl_context()
    names = settings.names
    with _connected(address) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=settings.server_name or host_of(address)) as tls:
                if tls.selected_alpn_protocol() != "h2":
                    return _caller(f"what listens on {address} speaks TLS, and not gRPC: is that the right port?")
                tls.sendall(_PREFACE)
                if tls.recv(1):
                    return None
                return _certificate(address, settings)
        except ssl.SSLCertVerificationError as exc:
            return _verification(address, settings, exc)
        except TimeoutError:
            return None
        except ssl.SSLError as exc:
            if exc.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
                return _caller(
                    f"the server on {address} speaks plain text: use {names.plaintext}, "
                    f"or leave out {names.ca}, {names.cert} and {names.key}"
                )
            if exc.reason in ("TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"):
                return Diagnosis(f"the server on {address} speaks no version of TLS from 1.2 on", Trouble.SERVER)
            return _certificate(address, settings)
        except ConnectionError:
            return _certificate(address, settings)


def _certificate(address: str, settings: ChannelSettings) -> Diagnosis:
    """Say why a server hung up on us once it had seen our certificate, or that there is none."""
    if settings.cert is None:
        return _caller(
            f"the server on {address} wants a client certificate: "
            f"use {settings.names.cert} FILE and {settings.names.key} FILE"
        )
    return _caller(
        f"the server on {address} does not take the client certificate {settings.cert}: it has expired, or its authority is "
        "not among the server's (MIDSTREAM_TLS_CLIENT_CA there)"
    )


def _verification(address: str, settings: ChannelSettings, exc: ssl.SSLCertVerificationError) -> Diagnosis:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    match exc.verify_code:
        case 10:  # X509_V_ERR_CERT_HAS_EXPIRED
            return Diagnosis(
                f"the certificate of the server on {address} has expired (it is {now} here): put a new one where "
                "MIDSTREAM_TLS_CERT of the server is", Trouble.SERVER,
            )  # fmt: skip
        case 9:  # X509_V_ERR_CERT_NOT_YET_VALID
            return Diagnosis(
                f"the certificate of the server on {address} is not valid yet (it is {now} here): look at both clocks",
                Trouble.SERVER,
            )
        case 62 | 64:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            asked = settings.server_name or host_of(address)
            named = ", ".join(_names(address, settings)) or "nobody"
            return _caller(
                f"the certificate of the server on {address} is not for {asked!r}, it is for {named}: "
                f"use {settings.names.server_name} with one of these"
            )
    believed = settings.ca if settings.ca is not None else "those of this machine"
    return _caller(
        f"the certificate of the server on {address} is of an authority that is not among {believed} "
        f"({exc.verify_message}): use {settings.names.ca} FILE with the one that signed it"
    )


def _names(address: str, settings: ChannelSettings) -> list[str]:
    """Return the names in a server's certificate, of a server whose authority is believed."""
    context = settings.ssl_context()
    context.check_hostname = False
    try:
        with _connected(address) as plain, context.wrap_socket(plain, server_hostname=host_of(address)) as tls:
            found = tls.getpeercert() or {}
    except OSError:
        return []
    return [str(name[1]) for name in found.get("subjectAltName", ()) if name[0] in ("DNS", "IP Address")]


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S)


def _caller(sentence: str) -> Diagnosis:
    return Diagnosis(sentence, Trouble.CALLER)
