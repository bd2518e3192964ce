"""Who was admitted a moment ago."""

from __future__ import annotations

from services.runtime.access.lately import HOLDS_NS, REMEMBERED_MAX, AdmittedLately

PLACE = "midstream.orders.v1.OrderService/PlaceOrder"
CANCEL = "midstream.orders.v1.OrderService/CancelOrder"


class Clock:
    now_ns = 5

    def __call__(self) -> int:
        return self.now_ns


def test_a_caller_is_known_for_the_method_and_the_moment_and_by_the_same_header() -> None:
    clock = Clock()
    lately = AdmittedLately(monotonic_ns=clock)

    assert not lately.knows("Bearer a", PLACE)
    lately.note("Bearer a", f"/{PLACE}")
    assert lately.knows("Bearer a", PLACE)
    assert lately.knows("Bearer a", f"/{PLACE}")
    assert not lately.knows("Bearer a", CANCEL)
    assert not lately.knows("Bearer b", PLACE)
    assert not lately.knows(None, PLACE)
    clock.now_ns += HOLDS_NS
    assert not lately.knows("Bearer a", PLACE)


def test_who_brings_no_header_is_nobody() -> None:
    lately = AdmittedLately(monotonic_ns=Clock())

    lately.note(None, PLACE)

    assert not lately.knows(None, PLACE)


def test_a_header_that_is_there_twice_or_no_text_is_nobodys() -> None:
    lately = AdmittedLately(monotonic_ns=Clock())
    lately.note("Bearer a", PLACE)
    header = ("authorization", "Bearer a")

    assert lately.knows_call((("x", "y"), header), PLACE)
    assert not lately.knows_call((header, header), PLACE)
    assert not lately.knows_call((("authorization", b"Bearer a"),), PLACE)
    assert not lately.knows_call((), PLACE)


def test_no_more_than_so_many_are_remembered_and_no_header_is() -> None:
    lately = AdmittedLately(monotonic_ns=Clock())

    for number in range(REMEMBERED_MAX + 1):
        lately.note(f"Bearer {number}", PLACE)

    assert not lately.knows("Bearer 0", PLACE)
    assert lately.knows("Bearer 1", PLACE)
    assert len(lately._until_ns) == REMEMBERED_MAX
    assert "Bearer" not in repr(lately._until_ns)
