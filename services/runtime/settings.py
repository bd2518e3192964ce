"""Settings of a server: one validated object, read from the environment once, all problems listed at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

import annotated_types
from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.runtime.access.settings import AUTHENTICATORS, certificates_problem, pair_problem
from services.runtime.addresses import ADMIN_HOST, admin_port
from services.runtime.call_limit_settings import CallLimitSettings
from services.runtime.cluster.slots import URL_FORMS, is_cluster_url
from services.runtime.ecs_task import task_id
from services.runtime.errors import InvalidRequest, StartRefused
from services.runtime.known_settings import is_strict
from services.runtime.logs import LogOptions
from services.runtime.lost_output import forgive_stderr
from services.runtime.parameters import take_parameters
from services.runtime.printable import printable
from services.runtime.redis_tls import REDIS_FILES, exposure, secured
from services.runtime.session.keys import check_session_name
from services.runtime.setting_problems import PREFIX, problems, unknown_lines
from services.runtime.stages import stage_problems


def split_commas(value: object) -> object:
    """Turn `a, b` into ("a", "b"); other types pass."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


KEYS_SECRET_CHARACTERS_MIN: Final = 32
"""Of MIDSTREAM_KEYS_SECRET: nobody may find it by trying."""

CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_commas)]
"""A comma-separated setting."""


def empty_is_none(value: object) -> object:
    """Take a variable that is there and empty for one that is not there: the path would be the current folder."""
    return None if value == "" else value


OptionalPath = Annotated[Path | None, BeforeValidator(empty_is_none)]
"""A file that need not be named."""

OptionalPort = Annotated[
    Annotated[int, annotated_types.Ge(0), annotated_types.Le(65535)] | None, BeforeValidator(empty_is_none)
]
"""A port that need not be named; 0 takes any free one."""


def read_switch(value: object) -> object:
    """Turn on/off, yes/no into a bool; other words are left for the validator to refuse."""
    if isinstance(value, str):
        return {"on": True, "yes": True, "off": False, "no": False}.get(value.strip().lower(), value)
    return value


Switch = Annotated[bool, BeforeValidator(read_switch)]
"""An on/off setting."""


class ProcessSettings(BaseSettings):
    """What every process that listens needs to know. A subclass narrows `port`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        validate_default=False,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    host: str = "127.0.0.1"
    """Where to listen. Anything but loopback needs TLS and an authenticator, or MIDSTREAM_INSECURE=yes."""

    port: int = Field(default=0, ge=0, le=65535)
    """Where the server listens; 0 takes any free port, which the ready file names."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least serious kind of line that is logged."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """`json` writes one object per line, for collectors; `console` writes lines for people; `auto` does that on a terminal only."""

    simulates: ClassVar[bool] = False
    """Whether it plays somebody else's part."""

    stage: Literal["", "dev", "staging", "prod"] = ""
    """Which deployment this is: the field `stage` of every log line, and what may not be set: `prod` refuses simulators and what is
    open, all others refuse live trading. Empty on a machine of one's own."""

    ready_file: Path | None = None
    """Written when the server serves: how a supervisor learns ports and pid."""

    parameters: str = ""
    """Path in AWS Parameter Store (extra `aws`), like /midstream/prod/orders. At start each sensitive setting that the environment does
    not have is read from there, by its name: PATH/MIDSTREAM_DATABASE_URL. What changes there counts after a restart."""

    strict: Switch = False
    """Refuse a variable that no setting has, instead of warning about it."""

    web_hosts: CommaList = ()
    """Names under which HTTP is answered, beside localhost and the address that it listens on; `*.example.com` are all below it,
    `*` is every name. A server that others reach has the names of private networks, too: those without a dot, .local, .internal. Others
    are refused, so that a page from elsewhere cannot use a server by pointing its own name at it."""

    web_connections_max: int = Field(default=4_096, ge=8, le=60_000)
    """Connections that one HTTP port holds, fewer where the system allows fewer open files. Beyond, the oldest that has sent no complete
    request makes room for a new one. Twice the 2,000 pages that may watch a dashboard."""

    web_connections_per_address: int = Field(default=512, ge=4, le=60_000)
    """Connections of one address (with IPv6, of one /64 network); of this machine's own there may be as many as in all. An office behind
    one address needs a few per browser; raise it for a proxy on another machine, which has everybody's."""

    web_streams_max: int = Field(default=2_000, ge=1, le=60_000)
    """Event streams and websockets that one HTTP port serves: one per open page or program that listens."""

    web_streams_per_address: int = Field(default=256, ge=1, le=60_000)
    """The same for one address; raise it for a proxy on another machine."""

    web_requests_max: int = Field(default=1_536, ge=1, le=60_000)
    """Requests that one HTTP port reads and answers at once. All pages of a dashboard ask anew at the same moment."""

    web_header_timeout_s: float = Field(default=10.0, ge=0.1, le=300)
    """Seconds for a request's headers to arrive, TLS's handshake included. They are one packet; more is waiting for nothing."""

    web_idle_timeout_s: float = Field(default=75.0, ge=0.1, le=3_600)
    """Seconds that a connection may be idle between requests. Above the 60 of usual load balancers, which must be the ones to close."""

    web_stall_timeout_s: float = Field(default=20.0, ge=0.1, le=300)
    """Seconds that a body may take beyond what its bytes need at the least rate, and that a reader may take nothing of its answer."""

    web_rate_min: int = Field(default=1_024, ge=1, le=1_000_000_000)
    """Bytes a second that a body must come in with, and an answer be taken with; the worst mobile connection has more."""

    def log_options(self, service: str) -> LogOptions:
        """Return how the processes of one deployed service log."""
        return LogOptions(level=self.log_level, form=self.log_format, service=service, stage=self.stage, task=task_id())

    @field_validator("web_hosts")
    @classmethod
    def _check_web_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            # What is written like this never matches, and nobody would be told.
            port = ":" in name and not name.startswith("[") and name.count(":") == 1
            if port or "/" in name or any(character.isspace() for character in name):
                raise ValueError(
                    f"must be names without scheme, port and path, like desk.example or *.example.com, not {name}"
                )
        return value

    @field_validator("host", "admin_host", check_fields=False)
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not value or any(character.isspace() or character == "/" for character in value):
            raise ValueError("must be a host name or an address, like 127.0.0.1")
        return value


class ServerSettings(CallLimitSettings, ProcessSettings):
    """What every gRPC server needs to know, too. A server subclasses it (or `SessionSettings`) and narrows the ports."""

    tracing: Literal["off", "otlp"] = "off"
    """`otlp` sends a trace of every call to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names (http://localhost:4318 without it);
    needs the extra `tracing`. OpenTelemetry's other OTEL_ variables say which calls, with which headers and attributes."""

    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Where the Prometheus exporter listens; 0 takes any free port."""

    admin_port: OptionalPort = None
    """Where 127.0.0.1 answers `grpc.health.v1` in plain text, for probes that have no certificate; 0 takes any free port. Without it
    there is one only with TLS, at the gRPC port and 1000."""

    admin_host: str = ADMIN_HOST
    """Where that health in plain text is asked for. `0.0.0.0` lets the kubelet's probes in, which come from the node and have no
    certificate: who reaches the port learns whether the server serves, and nothing else."""

    metrics_emf: Switch = False
    """Write figures to standard output as lines that CloudWatch Logs makes metrics of (docs/metrics.md says which); costs per metric."""

    metrics_emf_interval_s: float = Field(default=60.0, ge=1.0, le=3600.0)
    """How often those lines are written."""

    revision: str = Field(default="", max_length=64)
    """Commit that this was built from, for `midstream_build_info`; an image sets it, and nobody else has to."""

    reflection: Switch = True
    """On, so that grpcurl works without protos; off hides the schema."""

    tls_cert: OptionalPath = None
    """The server's certificate with its chain, PEM. With it every port of the server speaks TLS; a changed file counts from the
    next handshake on."""

    tls_key: OptionalPath = None
    """The private key of MIDSTREAM_TLS_CERT, PEM, readable by its owner only."""

    tls_client_ca: OptionalPath = None
    """Authorities whose client certificates are taken, PEM. With it every client has to show one."""

    tls_roles: CommaList = ()
    """Roles of client certificates by subject alternative name, as `dns:ops.internal=admin, uri:spiffe://desk/feed=read+control`."""

    auth: CommaList = ()
    """How callers say who they are: some of `keys`, `certificates` and `tokens`; empty is open, on loopback only. Orders always
    take keys."""

    # Plain text: whoever opens it checks it, and most servers never load a database library.
    keys_database_url: str = Field(
        default="sqlite:///var/orders.db",
        repr=False,
        validation_alias=AliasChoices(
            "MIDSTREAM_KEYS_DATABASE_URL", "MIDSTREAM_ORDERS_DATABASE_URL", "MIDSTREAM_DATABASE_URL"
        ),
    )
    """Where API keys are; by default the order service's database."""

    out: Path = Field(default=Path("var"), validation_alias="MIDSTREAM_OUT")
    """Files of servers that are neither database nor queue."""

    keys_secret_file: Path | None = None
    """The secret that API keys are kept under, mode 0600, the same file for every server; by default beside a SQLite database
    (`var/orders.keys`), else `orders.keys` in MIDSTREAM_OUT. Without it the keys of its database are of no use to anybody."""

    keys_secret: SecretStr | None = None
    """The secret itself instead of a file, 32 characters or more."""

    token_issuer: str = ""
    """The `iss` of JSON web tokens that are taken."""

    token_audience: str = ""
    """The `aud` that a token has to name."""

    token_keys_url: str = ""
    """The issuer's keys, a JSON web key set: https://... or file:///..."""

    token_roles_claim: str = "roles"
    """The claim that lists a token's roles."""

    insecure: Switch = False
    """Listen beyond loopback without TLS or without an authenticator; said in logs and health for as long as it lasts."""

    @property
    def authenticates(self) -> bool:
        """Whether callers have to say who they are."""
        return bool(self.auth)

    @property
    def health_port(self) -> int | None:
        """Where `grpc.health.v1` is in plain text beside the gRPC port; None where it is not."""
        return admin_port(self.port, self.admin_port, tls=self.tls_cert is not None)

    @field_validator("auth")
    @classmethod
    def _check_auth(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(name not in AUTHENTICATORS for name in value):
            raise ValueError(f"must name some of {', '.join(AUTHENTICATORS)}")
        return value

    @field_validator("keys_secret")
    @classmethod
    def _check_keys_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < KEYS_SECRET_CHARACTERS_MIN:
            raise ValueError(
                f"must have {KEYS_SECRET_CHARACTERS_MIN} characters or more, better: 64 random hexadecimal digits"
            )
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if problem := pair_problem(self.tls_cert, self.tls_key, self.tls_client_ca):
            raise ValueError(problem)
        if problem := certificates_problem(self.auth, self.tls_client_ca, self.tls_roles):
            raise ValueError(problem)
        return self


class RedisSettings(ServerSettings):
    """How Redis is reached, too. The subclass has `redis_url`; the files are in it once it was read."""

    # Before `redis_url`, which takes them in.
    redis_ca: Path | None = None
    """Authorities that the certificate of a rediss:// server may be from, PEM, beside the system's."""

    redis_cert: Path | None = None
    """The certificate to show to a rediss:// server that wants one, PEM."""

    redis_key: Path | None = None
    """The private key of MIDSTREAM_REDIS_CERT, PEM."""

    @field_validator("redis_url", check_fields=False)
    @classmethod
    def _check_redis_url(cls, value: str, info: ValidationInfo) -> str:
        if not value.startswith(("redis://", "rediss://", "unix://")) and not is_cluster_url(value):
            if not value and not cls.model_fields["redis_url"].is_required():
                return value
            raise ValueError(f"must be {URL_FORMS}")
        problem = "" if info.data.get("insecure") else exposure(value)
        if problem:
            raise ValueError(problem)
        files = {name: info.data.get(name.removeprefix(PREFIX).lower()) for name in REDIS_FILES}
        return secured(value, files)


class SessionSettings(RedisSettings):
    """What a server around a session's queue needs, too."""

    # `redacted()` before it is shown anywhere.
    redis_url: str = Field(repr=False)
    """The queue: redis://HOST:PORT/0, rediss:// for TLS, or unix:///path; of a cluster redis+cluster://HOST:PORT,HOST:PORT or
    rediss+cluster://, some of its nodes. It may hold a password. Beyond this machine it has to be with TLS and a password or a
    certificate, unless MIDSTREAM_INSECURE=yes."""

    session: str = "default"
    """Name of the session: letters, digits, `.`, `_` and `-`, 64 of them at most."""

    @field_validator("session")
    @classmethod
    def _check_session(cls, value: str) -> str:
        try:
            return check_session_name(value)
        except InvalidRequest as exc:
            raise ValueError("must be 1 to 64 characters of A-Z a-z 0-9 . _ -") from exc


S = TypeVar("S", bound=BaseSettings)


def load(settings_class: type[S], **overrides: Any) -> S:
    """Return the settings of a server; print every problem, one line each, and exit with 2 when there are any, or with 75
    where Parameter Store cannot be asked now.

    `overrides` are field names and beat the environment. With MIDSTREAM_STRICT a variable that no setting has is a problem, too, and
    so is what MIDSTREAM_STAGE forbids.
    """
    return _loaded(settings_class, overrides, serves=True)


def load_to_look(settings_class: type[S]) -> S:
    """As `load`, for a command that looks up where a server has its things and serves nothing: its stage forbids it nothing."""
    return _loaded(settings_class, {}, serves=False)


def _loaded(settings_class: type[S], overrides: Mapping[str, Any], *, serves: bool) -> S:
    forgive_stderr()
    try:
        stored = take_parameters(os.environ)
    except StartRefused as exc:
        print(printable(exc.message), file=sys.stderr)  # noqa: T201  (as below)
        raise SystemExit(exc.exit_code) from None
    found = [*unknown_lines(settings_class), *(stored.odd if stored else ())] if is_strict(os.environ) else []
    try:
        settings = settings_class(**overrides)
    except ValidationError as exc:
        found += problems(settings_class, exc)
    else:
        found += stage_problems(settings) if serves else []
    if found:
        for line in found:
            print(printable(line), file=sys.stderr)  # noqa: T201  (the user's one look at it; logs are not configured yet)
        raise SystemExit(2)
    return settings
