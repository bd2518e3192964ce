"""How other people's commands reach servers that were started in this environment."""

from __future__ import annotations

from collections.abc import Mapping


class Shown:
    """Schemes and options to print; files that nobody has named yet stand there as an example's names."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._tls = bool(environment.get("MIDSTREAM_TLS_CERT"))
        self._mutual = bool(environment.get("MIDSTREAM_TLS_CLIENT_CA"))
        self._ca = environment.get("MIDSTREAM_TLS_CA") or "ca.pem"
        self._cert = environment.get("MIDSTREAM_TLS_CLIENT_CERT") or "client.pem"
        self._key = environment.get("MIDSTREAM_TLS_CLIENT_KEY") or "client-key.pem"
        self._told = {name for name in ("MIDSTREAM_TLS_CA", "MIDSTREAM_TLS_CLIENT_CERT") if environment.get(name)}
        self._keys = "keys" in environment.get("MIDSTREAM_AUTH", "").replace(" ", "").split(",")

    @property
    def grpc(self) -> str:
        """The scheme of gRPC, as people write it."""
        return "grpcs" if self._tls else "grpc"

    @property
    def http(self) -> str:
        """The scheme of web faces."""
        return "https" if self._tls else "http"

    @property
    def grpcurl(self) -> str:
        """Options of grpcurl."""
        # grpcurl itself puts the variable's value in: other users of the machine see arguments.
        key = " -expand-headers -H 'authorization: Bearer ${MIDSTREAM_API_KEY}'" if self._keys else ""
        if not self._tls:
            return "-plaintext" + key
        return f"-cacert {self._ca}" + (f" -cert {self._cert} -key {self._key}" if self._mutual else "") + key

    @property
    def curl(self) -> str:
        """Options of curl, with a space behind them where there are any."""
        if not self._tls:
            return ""
        return f"--cacert {self._ca} " + (f"--cert {self._cert} --key {self._key} " if self._mutual else "")

    @property
    def midstream(self) -> str:
        """Options of our own commands, with a space before them; what the environment says need not be said again."""
        ca = f" --cacert {self._ca}" if self._tls and "MIDSTREAM_TLS_CA" not in self._told else ""
        mutual = self._tls and self._mutual and "MIDSTREAM_TLS_CLIENT_CERT" not in self._told
        return ca + (f" --cert {self._cert} --key {self._key}" if mutual else "")
