"""The Redis that the environment or an option names, as the servers will reach it."""

from __future__ import annotations

from pydantic import ValidationError

from services.runtime.errors import StartRefused
from services.runtime.setting_problems import problems
from services.runtime.settings import SessionSettings


def usable_redis_url(url: str) -> str:
    """Return the URL with the files of TLS that the environment names in it; raise StartRefused for one that servers refuse."""
    try:
        return SessionSettings(redis_url=url).redis_url
    except ValidationError as exc:
        raise StartRefused("; ".join(problems(SessionSettings, exc))) from exc
