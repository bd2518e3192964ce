"""What has been under way for too long."""

from __future__ import annotations

from services.runtime.stalls import STALLED_S, Stalls


def test_what_takes_too_long_is_told_until_it_ends_and_the_oldest_of_it_counts() -> None:
    now_s = 100.0
    stalls = Stalls(monotonic_s=lambda: now_s)

    with stalls.during("the journal"):
        now_s += STALLED_S
        assert stalls.trouble() == ""
        now_s += 1
        with stalls.during("the spool"):
            assert stalls.trouble() == "the journal has not answered for 4 s: a disk or a database stands still"

    assert stalls.trouble() == ""
