"""What traders are told about the source of reference prices."""

from __future__ import annotations

from services.power.etl.health import PATIENCE_NS, SECOND_NS, WAIT_PATIENCE_NS, PollingHealth

START_NS = 1_000 * SECOND_NS


def test_waiting_for_a_slot_of_the_quota_is_no_trouble_until_it_lasts() -> None:
    health = PollingHealth()
    health.answered(START_NS)

    # All hours publish at once, and the quota lets fifty through in a minute.
    for seconds in range(1, 60):
        health.waited(START_NS + seconds * SECOND_NS)
        assert health.trouble(START_NS + seconds * SECOND_NS) == ""

    assert "quota" in health.trouble(START_NS + WAIT_PATIENCE_NS + 2 * SECOND_NS)
    health.answered(START_NS + WAIT_PATIENCE_NS + 3 * SECOND_NS)
    assert health.trouble(START_NS + WAIT_PATIENCE_NS + 4 * SECOND_NS) == ""


def test_a_failure_is_told_after_a_short_patience_though_the_quota_is_waited_for_too() -> None:
    health = PollingHealth()
    health.failed(START_NS, "the provider does not answer")
    health.waited(START_NS + SECOND_NS)

    assert health.trouble(START_NS + PATIENCE_NS) == ""
    assert health.trouble(START_NS + PATIENCE_NS + 1) == "the provider does not answer"
