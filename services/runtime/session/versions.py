"""The version that every value between processes carries, and the refusal of a newer one."""

from __future__ import annotations

from services.runtime.errors import FailedPrecondition


class NewerVersion(FailedPrecondition):
    """Another process wrote a value in a version that this one does not know; reading it anyway would guess."""

    def __init__(self, what: str, *, found: int, known: int) -> None:
        super().__init__(
            f"{what} has version {found}, and this process knows versions up to {known}: a newer release wrote it; "
            "start all processes of this Redis from that release, or use another Redis"
        )
        self.found = found
        self.known = known


def check_version(what: str, found: object, known: int) -> None:
    """Raise NewerVersion when `found` is above `known`, ValueError when it is no number.

    None is a value from before there were versions: it reads as version 1.
    """
    if found is None:
        return
    if isinstance(found, bool) or not isinstance(found, int):
        raise ValueError(f"the version of {what} is no number ({repr(found)[:80]})")
    if found > known:
        raise NewerVersion(what, found=found, known=known)
