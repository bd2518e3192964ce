"""Bybit's errors as one table. The first row that matches decides, so the order is part of the meaning.

"sheet" in a source is `exchanges/bybit.md`, by section. Codes come with HTTP 200; the status decides only where no code does. For
what changes orders, whatever does not say that it was refused at the door is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clients.exchanges.endings import EndedBy
from clients.exchanges.error_table import ErrorRow, ErrorTable
from clients.resilience.outcome import Outcome

NO_CODE: Final = "NO_CODE"
"""Instead of a code where the answer is JSON without one."""
NO_JSON: Final = "NO_JSON"
"""Instead of a code where the answer is no JSON: then somebody in front of the exchange has answered."""
TOO_FREQUENT: Final = "access too frequent"
HEDGE_MODE: Final = "position idx not match position mode"

_SHEET: Final = "sheet 5"


def _only(status: int) -> range:
    return range(status, status + 1)


def _codes(
    outcome: Outcome, codes: Sequence[int], *, source: str = _SHEET, reads: bool | None = None, text: str = ""
) -> list[ErrorRow]:
    return [ErrorRow(outcome, source, code=str(code), reads=reads, text=text) for code in codes]


def _split(codes: Sequence[int], *, change: Outcome, read: Outcome) -> list[ErrorRow]:
    """Return rows for codes that mean one thing for what changes orders, and another for what only reads."""
    return [*_codes(change, codes, reads=False), *_codes(read, codes, reads=True)]


_IN_DOUBT: Final = [
    *_split(
        (5004, 10000, 10016, 170001, 170032, 170234, 170007, 170146, 170147, 170310),
        change=Outcome.UNKNOWN,
        read=Outcome.RETRYABLE,
    ),
    # It has expired behind the door, so there is a second check, which nobody describes.
    *_split((-1,), change=Outcome.UNKNOWN, read=Outcome.CLOCK),
    *_split((429,), change=Outcome.UNKNOWN, read=Outcome.THROTTLED),
    # The order is being worked on, or the text says "failed" and not why.
    *_codes(Outcome.UNKNOWN, (40004, 110079, 170035, 170144, 170191, 170212, 170149, 170150, 170311), reads=False),
]
_DOOR: Final = [
    *_codes(Outcome.CLOCK, (10002,), source="sheet 2, 5: outside of the window, not executed"),
    *_codes(Outcome.AUTH, (10003, 10004, 10005, 10007, 10008, 10009, 10010)),
    *_codes(Outcome.AUTH, (10024, 10027, 10028, 10029, 33004, -2015)),
    *_codes(Outcome.AUTH, (170209,), source="sheet 5, recorded: a pair for another region"),
    *_codes(Outcome.THROTTLED, (10006,), source="sheet 6: the limit of this route"),
    *_codes(Outcome.THROTTLED, (10018, 10403, 10429, 20003, 30034, 30035, 130035, 130150, 170005, 170222)),
    *_codes(Outcome.RETRYABLE, (10019,), source="sheet 5: restarting, not accepted"),
    *_codes(Outcome.MAINTENANCE, (110063, 110066, 110074, 110095, 110103, 170031, 170151, 170157)),
]
_IDENTITY: Final = [
    *_split((10014,), change=Outcome.DUPLICATE, read=Outcome.RETRYABLE),
    *_codes(Outcome.DUPLICATE, (110030, 110072, 170141, 12141), source="sheet 4, 5: the client id is there already"),
    # The order is as wanted already: fetch, compare, adopt, as with a duplicate id. The code differs between reports.
    *_codes(Outcome.DUPLICATE, (110025, 110026, 110027, 110043, 34039, 34040)),
    ErrorRow(Outcome.DUPLICATE, "sheet 4: amended to what it is", text="not modified", operations=("amend_order",)),
    # One code for an order that is not known and for one that has ended: only a query tells.
    *_codes(Outcome.NOT_FOUND, (110001, 110008, 110010, 170139, 170142, 170190, 170143, 170213)),
]
_REFUSED: Final = [
    ErrorRow(Outcome.AUTH, "sheet 4, recorded: an account in hedge mode", code="10001", text=HEDGE_MODE),
    *_codes(Outcome.REJECTED, (10001, 10017, 10404, 20001, 20006)),
    *_codes(Outcome.REJECTED, (30208, 30209, 110003, 110120, 110121), source="sheet 3, 5: price outside of its limits"),
    *_codes(Outcome.REJECTED, (110004, 110006, 110007, 110012, 110014, 110044, 110045, 110051, 110052, 110053)),
    *_codes(Outcome.REJECTED, (110005, 110011, 110040, 110046, 110009, 110020, 170810)),
    *_codes(Outcome.REJECTED, (110013, 110021, 110022, 110023, 110042, 110089, 110090, 110017)),
    *_codes(Outcome.REJECTED, (110018, 110019, 110032, 110049, 110050, 110064, 110094, 170136, 170140)),
    *_codes(Outcome.REJECTED, (170105, 170115, 170116, 170117, 170121, 170130, 170134, 170137, 170148, 170201)),
    *_codes(Outcome.REJECTED, (170124, 170132, 170133, 170192, 170193, 170194, 170197, 170198)),
    *_codes(Outcome.REJECTED, (170371, 170372, 170381, 170382, 170341, 170131, 170033)),
    ErrorRow(
        Outcome.REJECTED,
        "sheet 5: post-only; refused where others accept and end it",
        code="170218",
        ended_by=EndedBy.POST_ONLY,
    ),
    *_codes(Outcome.REJECTED, (170210, 170217, 170312, 170313)),
]
_BY_STATUS: Final = [
    # Refused by what stands in front of it, in all likelihood; for an order that is not enough.
    ErrorRow(Outcome.UNKNOWN, "sheet 8: 403 without JSON", statuses=_only(403), reads=False, code=NO_JSON),
    ErrorRow(Outcome.UNKNOWN, "sheet 8: 429 without JSON", statuses=_only(429), reads=False, code=NO_JSON),
    ErrorRow(Outcome.THROTTLED, "sheet 5, 6: 403 is the limit of the address", statuses=_only(403), text=TOO_FREQUENT),
    ErrorRow(Outcome.THROTTLED, "sheet 5: 429 is the protection of the system", statuses=_only(429)),
    ErrorRow(Outcome.AUTH, "sheet 5: 401, 403: key or region", statuses=_only(401)),
    ErrorRow(Outcome.AUTH, "sheet 5: 401, 403: key or region", statuses=_only(403)),
    ErrorRow(Outcome.RETRYABLE, "sheet 5: a timeout; reads repeat", statuses=_only(408), reads=True),
    ErrorRow(Outcome.UNKNOWN, "sheet 5: a timeout", statuses=_only(408)),
    ErrorRow(Outcome.REJECTED, "sheet 5: 400, 404", statuses=range(400, 500)),
    ErrorRow(Outcome.RETRYABLE, "sheet 5: a read can be repeated", statuses=range(500, 600), reads=True),
    ErrorRow(Outcome.RETRYABLE, "an answer that is not as documented; reads repeat", code=NO_CODE, reads=True),
    ErrorRow(Outcome.RETRYABLE, "an answer that is not as documented; reads repeat", code=NO_JSON, reads=True),
    ErrorRow(Outcome.REJECTED, "sheet 5: any other code of a read", reads=True),
    ErrorRow(Outcome.UNKNOWN, "sheet 5: whatever is not known to be refused may have been executed"),
]

TABLE: Final = ErrorTable([*_IN_DOUBT, *_DOOR, *_IDENTITY, *_REFUSED, *_BY_STATUS])
