"""Reads what CreateSession asks for, and tells definitions as messages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, cast
from urllib.parse import urlsplit
from uuid import uuid4

from fastpath.frame import MODE_HISTORICAL, MODE_LIVE
from protos.common.v1.market_pb2 import Mode
from protos.replay.v1 import replay_pb2 as pb
from services.replay.allowed_files import AllowedFiles
from services.replay.session_pace import check_pace, paced, policy_message
from services.runtime.connection import redacted
from services.runtime.errors import InvalidRequest, StartRefused
from services.runtime.session.definition import SessionDefinition
from services.runtime.session.intents import SPEED_MAX
from services.runtime.session.keys import check_session_name
from services.runtime.session.partitions import PARTITIONS_MAX
from services.runtime.subscriptions import wanted_tickers

NO_SINK: Final = "none"
ENTRIES_MAX: Final = 64
"""Sinks and latency models of one session."""
TEXT_MAX: Final = 4_096
"""Characters of a URL, a latency model or a ticker."""


class SessionRequests:
    """Checks requests against what the operator allows."""

    def __init__(
        self,
        files: AllowedFiles,
        *,
        sinks: tuple[str, ...],
        pace: Mapping[str, object] | None = None,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`sinks` are those of sessions that name none, and `pace` says when the records of those leave that do not say it."""
        self._files = files
        self._sinks = sinks
        self._pace = pace or {}
        self._time_ns = time_ns

    @staticmethod
    def name_of(request: pb.CreateSessionRequest) -> str:
        """Return the name that is asked for, or a new one. Raises InvalidRequest."""
        if not request.session:
            return f"s-{uuid4().hex[:12]}"
        name = check_session_name(request.session)
        if name.startswith("."):
            # Its logs are in a directory of its name, where `.` and `..` mean something else.
            raise InvalidRequest("session", f"must not begin with a dot (got {name!r})")
        return name

    def read(self, request: pb.CreateSessionRequest) -> SessionDefinition:
        """Return what is asked for, completed. Raises InvalidRequest and PermissionDenied."""
        asked = request.definition
        if asked.partitions > PARTITIONS_MAX:
            raise InvalidRequest(
                "definition.partitions", f"must be at most {PARTITIONS_MAX:,} (got {asked.partitions})"
            )
        if not asked.files and not asked.live_url:
            raise InvalidRequest("definition", "must name `files`, a `live_url` or both: there is nothing to replay")
        if not (math.isfinite(asked.speed) and 0 <= asked.speed <= SPEED_MAX):
            raise InvalidRequest(
                "definition.speed", f"must be 0 (as fast as possible) or up to {SPEED_MAX:g} (got {asked.speed})"
            )
        definition = SessionDefinition(
            files=tuple(asked.files),
            live_url=_live_url(asked.live_url),
            mode=_mode(asked),
            speed=abs(asked.speed),
            start_time_ns=asked.start_arrival_time_ns if asked.HasField("start_arrival_time_ns") else None,
            end_time_ns=asked.end_arrival_time_ns if asked.HasField("end_arrival_time_ns") else None,
            tickers=tuple(sorted(wanted_tickers(_texts(asked.tickers, "tickers", many=True)))),
            latency=_texts(asked.latency, "latency"),
            sinks=self._sinks_of(asked),
            private=asked.private,
            partitions=asked.partitions or 1,
            created_time_ns=self._time_ns(),
        )
        definition = paced(definition, asked)
        self.check(definition)
        return definition

    def check(self, definition: SessionDefinition) -> list[str]:
        """Return the files to read; raise InvalidRequest and PermissionDenied. Done again before each start: links may have changed."""
        # Only here: they come with the kernels that read files, which a server without created sessions does not need.
        from services.replay.engine.config import check_live_url, historical_options
        from services.replay.sources.latency_models import Empirical, parse_entry

        files = self._files.resolve(definition.files, field="definition.files")
        try:
            historical_options(
                {
                    "start": definition.start_time_ns,
                    "end": definition.end_time_ns,
                    "tickers": definition.tickers,
                    "latency": definition.latency,
                }
            )
            for entry in definition.latency:
                form = parse_entry(entry).form
                if isinstance(form, Empirical):
                    self._check_empirical(form.path)
        except StartRefused as exc:
            raise InvalidRequest("definition", f"cannot be used: {exc.message}") from exc
        check_pace(definition, self._pace)
        if definition.live_url:
            try:
                check_live_url(definition.live_url)
            except StartRefused as exc:
                raise InvalidRequest("definition.live_url", exc.message) from exc
        return files

    def _check_empirical(self, path: str) -> None:
        if self._files.resolve([path], field="definition.latency") != [path]:
            raise InvalidRequest(
                "definition.latency",
                f"must name the one file of an empirical model by its absolute path (got {path!r})",
            )

    def _sinks_of(self, asked: pb.SessionDefinition) -> tuple[str, ...]:
        if not asked.sinks:
            return self._sinks
        if list(asked.sinks) == [NO_SINK]:
            return ()
        for sink in asked.sinks:
            check_session_name(sink, field="definition.sinks")
        return tuple(dict.fromkeys(_texts(asked.sinks, "sinks")))


def environment_definition(config: Mapping[str, Any]) -> SessionDefinition:
    """Return what the session of the environment replays, from the configuration of its engine, which its engine has checked."""
    from services.replay.engine.config import parse_config

    checked = parse_config(config)
    return SessionDefinition(
        files=checked.historical,
        live_url=checked.live_url,
        mode=checked.beginning.mode,
        speed=checked.beginning.speed,
        start_time_ns=checked.options.start_time_ns,
        end_time_ns=checked.options.end_time_ns,
        tickers=checked.options.tickers,
        latency=checked.options.latency,
        sinks=tuple(checked.sinks.names),
        gap_cap_ns=checked.pace.gap_cap_ns,
        rate=checked.pace.rate,
        delay_ns=checked.pace.delay_ns,
        time_debt=checked.pace.debt,
        time_debt_limit_ns=checked.pace.debt_limit_ns if checked.pace.debt == "fail" else 0,
        partitions=int(config.get("partitions") or 1),
    )


def definition_message(definition: SessionDefinition) -> pb.SessionDefinition:
    """Put a definition into a message."""
    return pb.SessionDefinition(
        files=definition.files,
        live_url=redacted(definition.live_url),
        mode=cast("Mode", definition.mode),
        speed=definition.speed,
        start_arrival_time_ns=definition.start_time_ns,
        end_arrival_time_ns=definition.end_time_ns,
        tickers=definition.tickers,
        latency=definition.latency,
        sinks=definition.sinks or (NO_SINK,),
        private=definition.private,
        partitions=definition.partitions,
        created_time_ns=definition.created_time_ns,
        gap_cap_ns=definition.gap_cap_ns,
        rate=definition.rate,
        delay_ns=definition.delay_ns,
        time_debt=policy_message(definition.time_debt),
        time_debt_limit_ns=definition.time_debt_limit_ns,
    )


def _mode(asked: pb.SessionDefinition) -> int:
    if asked.mode not in (0, MODE_HISTORICAL, MODE_LIVE):
        raise InvalidRequest("definition.mode", f"must be MODE_HISTORICAL or MODE_LIVE (got {asked.mode})")
    mode = asked.mode or (MODE_HISTORICAL if asked.files else MODE_LIVE)
    if mode == MODE_HISTORICAL and not asked.files:
        raise InvalidRequest("definition.mode", "is historical, and no `files` are named")
    if mode == MODE_LIVE and not asked.live_url:
        raise InvalidRequest("definition.mode", "is live, and no `live_url` is named")
    return mode


def _live_url(url: str) -> str:
    if len(url) > TEXT_MAX:
        raise InvalidRequest("definition.live_url", f"must have at most {TEXT_MAX} characters (got {len(url)})")
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise InvalidRequest("definition.live_url", f"is no URL ({exc})") from exc
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest(
            "definition.live_url",
            "must not hold a user or password: definitions are shown to everybody who may read; MIDSTREAM_LIVE_URL may",
        )
    return url


def _texts(values: Collection[str], name: str, *, many: bool = False) -> tuple[str, ...]:
    if len(values) > ENTRIES_MAX and not many:
        raise InvalidRequest(f"definition.{name}", f"must be at most {ENTRIES_MAX} (got {len(values)})")
    for value in values:
        if not value or len(value) > TEXT_MAX:
            raise InvalidRequest(
                f"definition.{name}", f"must be texts of 1 to {TEXT_MAX} characters (got one of {len(value)})"
            )
    return tuple(values)
