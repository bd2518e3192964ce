"""What the mids stream of a partition holds, as tests compare it."""

from __future__ import annotations

from typing import Any

from fastpath.mids import MidFrame
from services.price.mid_batches import mids_head
from services.runtime.session.keys import SessionKeys


def stored_mids(client: Any, keys: SessionKeys) -> list[tuple[int, str, int, int, float]]:
    """Return every mid of the stream: (sequence, ticker, event ns, arrival ns, mid); readers cut what entries say again in the same way."""
    found: list[tuple[int, str, int, int, float]] = []
    for entry_id, fields in client.xrange(keys.mids):
        payload = mids_head(int(entry_id.partition(b"-")[2]), fields[b"b"]).payload
        if payload:
            found += MidFrame(payload).mids()
    return found
