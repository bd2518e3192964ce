"""Settings of whoever calls our servers."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.runtime.setting_problems import PREFIX
from services.runtime.settings import OptionalPath


class ConnectionSettings(BaseSettings):
    """How commands reach servers; options on the command line beat them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    tls_ca: OptionalPath = None
    """Authorities that may have signed the servers' certificates, PEM; without it those that gRPC comes with."""

    tls_client_cert: OptionalPath = None
    """The certificate that commands show to servers that want one, PEM, with its chain."""

    tls_client_key: OptionalPath = None
    """The private key of MIDSTREAM_TLS_CLIENT_CERT, PEM."""

    tls_server_name: str = ""
    """The name in the servers' certificates, where they are reached under another, as 127.0.0.1 is."""

    api_key: str = Field(default="", repr=False)
    """The key that commands send with every call; an option would show it to everybody on the machine."""

    tls_cert: OptionalPath = None
    """Of the servers here: where it is set, commands speak TLS, too."""
