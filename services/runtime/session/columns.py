"""The columns of a batch of records, taken from its descriptor, so that nothing that cuts batches can forget one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message


def columns_of(batch: Message | type[Message]) -> tuple[str, ...]:
    """Return the packed fields of a batch: they hold one element per record, and nothing else in a batch is packed."""
    return tuple(field.name for field in batch.DESCRIPTOR.fields if field.is_packed)


def keep_records(batch: Message, keep: Sequence[int]) -> None:
    """Drop all elements of every column but those at `keep`; a column that is left out stays so."""
    for name in columns_of(batch):
        column: Any = getattr(batch, name)
        if column:
            column[:] = [column[index] for index in keep]
