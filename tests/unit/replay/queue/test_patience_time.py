"""How long the producer waited, as its figures tell it."""

from __future__ import annotations

import threading
from random import Random

from services.replay.queue.patience import Patience
from tests.support.clock import FakeClock


def test_waits_add_up_and_the_present_one_counts_while_it_lasts(fake_clock: FakeClock) -> None:
    patience = Patience(stopping=threading.Event(), clock=fake_clock, random=Random(1), on_state=lambda state: None)
    fake_clock.advance(1)
    assert patience.waited_s == 0

    patience.announce("no room")
    fake_clock.advance(2)
    patience.announce("no room")
    assert patience.waited_s == 2
    patience.resume()
    fake_clock.advance(10)
    assert patience.waited_s == 2
    patience.announce("Redis is unreachable")
    fake_clock.advance(0.5)

    assert patience.waited_s == 2.5
