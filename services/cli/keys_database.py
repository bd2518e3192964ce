"""Which database `midstream keys` works on: what the settings name, and the one of an order server that runs from here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.database import named_url
from services.orders.config import OrdersSettings
from services.runtime.access.keys import PepperSource, pepper_of
from services.runtime.errors import StartRefused


@dataclass(frozen=True)
class KeysPlace:
    """Where keys are and what they are kept under."""

    url: str
    secret: PepperSource
    note: str = ""
    """For people, before anything is done; empty when nothing is remarkable."""


def database_of_keys(settings: OrdersSettings) -> KeysPlace:
    """Return it. Raises StartRefused when the running server has another one, and only its own settings could open that."""
    ours = KeysPlace(settings.keys_database_url, pepper_of(settings))
    running = _running(settings.out / ".midstream" / "ready" / "orders.json")
    theirs = str(running.get("keys_database", ""))
    if not theirs or theirs == named_url(ours.url):
        return ours
    there = f"the order server that runs from here (process {running['pid']}) has its keys in {theirs}"
    if "keys_database_url" in settings.model_fields_set:
        return KeysPlace(ours.url, ours.secret, f"{there}, which is not the database that the settings name")
    if not theirs.startswith("/"):
        raise StartRefused(f"{there}: set MIDSTREAM_ORDERS_DATABASE_URL to it")
    secret = str(running.get("keys_secret", ""))
    held = PepperSource(Path(secret)) if secret.startswith("/") else ours.secret
    return KeysPlace(f"sqlite:///{theirs}", held, there)


def _running(ready: Path) -> dict[str, Any]:
    """Return what a server that is alive says of itself; empty without one."""
    try:
        said = json.loads(ready.read_text(encoding="utf-8"))
        os.kill(said["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(said)
