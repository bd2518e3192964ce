"""Two runs held against each other by what they recorded; no input is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from services.verify.run import Claims, NotVerifiable, read_claims

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Comparison:
    """Whether two runs had the same records in the same order, and where they part if not."""

    is_same: bool
    first: int
    """First record of the first block that differs; 0: it is not known, or nothing differs."""
    last: int
    text: str


def compare(run: Path, other: str) -> Comparison:
    """Compare a run with another one, or with the order digest of one. Raises NotVerifiable."""
    ours = read_claims(run)
    if _DIGEST.fullmatch(other):
        return _compare_digests(ours, other)
    theirs = read_claims(Path(other))
    for claims in (ours, theirs):
        if not claims.complete:
            raise NotVerifiable(
                f"{claims.path} is of a run that did not come to its end; finish it with `midstream replay --resume`"
            )
    if ours.digest_version != theirs.digest_version:
        raise NotVerifiable(
            f"their order digests are of versions {ours.digest_version} and {theirs.digest_version}, which cannot be compared; "
            "replay the older one again with --overwrite"
        )
    if ours.digest == theirs.digest:
        return Comparison(True, 0, 0, f"the same {ours.counts['rows_in']:,} records in the same order: {ours.digest}")
    return _first_difference(ours, theirs)


def _compare_digests(ours: Claims, other: str) -> Comparison:
    if ours.digest == other:
        return Comparison(True, 0, 0, f"the same {ours.counts['rows_in']:,} records in the same order: {other}")
    return Comparison(
        False,
        0,
        0,
        f"other records, or another order: {ours.digest} here; the report.json of the other run would tell where",
    )


def _first_difference(ours: Claims, theirs: Claims) -> Comparison:
    """Find it with the proofs that both kept: long runs keep fewer, so look at those behind the same records."""
    if not ours.every or not theirs.every:
        return Comparison(
            False, 0, 0, "other records, or another order; one of the runs kept no proofs that would tell where"
        )
    left, right = _by_records(ours), _by_records(theirs)
    same = 0
    for records in sorted(left.keys() & right.keys()):
        if left[records] != right[records]:
            return _differ(same + 1, records)
        same = records
    return _differ(same + 1, max(ours.counts["rows_in"], theirs.counts["rows_in"]))


def _differ(first: int, last: int) -> Comparison:
    before = f"the first {first - 1:,} records are the same; " if first > 1 else ""
    return Comparison(False, first, last, f"{before}the first difference is in records {first:,} to {last:,}")


def _by_records(claims: Claims) -> dict[int, str]:
    return {claims.every * (place + 1): digest for place, digest in enumerate(claims.proofs)} | {
        claims.counts["rows_in"]: claims.digest
    }
