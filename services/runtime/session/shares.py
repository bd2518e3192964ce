"""Which partitions of a session each of its owners should have: even shares, and as few moves as possible; no I/O.

Every owner computes this by itself from what all of them told. Two that see different members may both want a partition for a moment:
who gets it is decided by its fence, never here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One of those that share the partitions of a session, as it told about itself."""

    name: str
    host: str
    pid: int
    beat: int
    """Grows for as long as it lives."""
    held: tuple[int, ...] = ()
    """Partitions that it works for."""
    fit: bool = True
    """False: its engines fail where others' might not, so that it gets none for the time being."""


@dataclass(frozen=True)
class Moves:
    """What an owner does next."""

    give: tuple[int, ...] = ()
    """To be handed over, one after the other."""
    take: tuple[int, ...] = ()
    """Free, and due to this owner."""


def quotas(members: Sequence[Member], partitions: int) -> dict[str, int]:
    """Return how many partitions each member should have: those that differ by at most one, and stay where they are most."""
    fit = [member for member in members if member.fit]
    if not fit:
        return {member.name: 0 for member in members}
    low, extra = divmod(partitions, len(fit))
    # The odd ones stay with those that have them already.
    fullest = sorted(fit, key=lambda member: (-min(len(member.held), low + 1), member.name))
    odd = {member.name for member in fullest[:extra]}
    return {member.name: (low + (member.name in odd) if member.fit else 0) for member in members}


def plan(
    me: str, members: Sequence[Member], partitions: int, *, held: Collection[int], producers: Mapping[int, str]
) -> Moves:
    """Return what `me` should do.

    `members` has `me` in it. `held` are the partitions that it works for, `producers` names who has each partition that somebody
    produces: a member, or somebody who is none.
    """
    quota = quotas(members, partitions)[me]
    surplus = len(held) - quota
    if surplus > 0:
        # Those that nobody produces first: handing them over holds nobody up.
        order = sorted(held, key=lambda partition: (producers.get(partition) == me, -partition))
        return Moves(give=tuple(order[:surplus]))
    free = [partition for partition in range(partitions) if partition not in producers and partition not in held]
    if not free or not surplus:
        return Moves()
    # Each begins elsewhere, so that they rarely want the same one.
    names = sorted(member.name for member in members)
    turn = len(free) * names.index(me) // len(names)
    return Moves(take=tuple((free[turn:] + free[:turn])[:-surplus]))
