"""A filter before the journal: it may ask too often, and never too seldom."""

from __future__ import annotations

from services.orders.journal.known_keys import KnownKeys


def test_a_key_is_asked_for_once_it_was_added_and_no_other_is() -> None:
    keys = KnownKeys()
    keys.add("desk", "k", 100)

    assert keys.may_hold("desk", "k", since_ns=0)
    assert not keys.may_hold("desk", "l", since_ns=0)
    assert not keys.may_hold("other", "k", since_ns=0)


def test_beyond_its_bound_the_journal_is_asked_until_the_oldest_have_expired() -> None:
    keys = KnownKeys(keys_max=2)
    for number in range(1, 4):
        keys.add("desk", f"k{number}", 100 * number)

    assert keys.may_hold("desk", "k1", since_ns=100)
    assert keys.may_hold("desk", "never used", since_ns=100)
    assert not keys.may_hold("desk", "never used", since_ns=101)
    assert keys.may_hold("desk", "k2", since_ns=101)
    assert keys.may_hold("desk", "k3", since_ns=101)


def test_a_clock_that_was_set_back_lets_no_key_be_missed() -> None:
    keys = KnownKeys(keys_max=1)
    for number, created_ns in enumerate((500, 100, 200)):
        keys.add("desk", f"k{number}", created_ns)

    assert keys.may_hold("desk", "k0", since_ns=500)


def test_what_the_journal_deletes_is_forgotten_and_a_successor_is_not() -> None:
    keys = KnownKeys()
    keys.add("desk", "k", 100)
    keys.add("desk", "l", 200)
    keys.add("desk", "k", 300)

    keys.forget(before_ns=300)

    assert not keys.may_hold("desk", "l", since_ns=0)
    assert keys.may_hold("desk", "k", since_ns=0)
