"""Owners that each decide for themselves end up with even shares, whatever happens to them, and then rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from services.runtime.session.shares import Member, Moves, plan, quotas


def member(name: str, *held: int, fit: bool = True) -> Member:
    return Member(name, host="h", pid=1, beat=1, held=held, fit=fit)


def test_one_owner_takes_everything() -> None:
    assert plan("a", [member("a")], 4, held=(), producers={}) == Moves(take=(0, 1, 2, 3))


def test_a_second_one_gets_half_once_the_first_has_given_it() -> None:
    members = [member("a", 0, 1, 2, 3), member("b")]
    producers = dict.fromkeys(range(4), "a")
    assert plan("b", members, 4, held=(), producers=producers) == Moves()
    assert plan("a", members, 4, held=(0, 1, 2, 3), producers=producers) == Moves(give=(3, 2))
    free = {0: "a", 1: "a"}
    assert set(plan("b", [member("a", 0, 1), member("b")], 4, held=(), producers=free).take) == {2, 3}


def test_the_odd_partition_stays_where_it_is() -> None:
    members = [member("a", 0), member("b", 1, 2)]
    producers = {0: "a", 1: "b", 2: "b"}
    assert plan("a", members, 3, held=(0,), producers=producers) == Moves()
    assert plan("b", members, 3, held=(1, 2), producers=producers) == Moves()


def test_who_cannot_work_gets_nothing_and_gives_what_it_has() -> None:
    members = [member("a", 0, fit=False), member("b", 1)]
    assert quotas(members, 2) == {"a": 0, "b": 2}
    assert plan("a", members, 2, held=(0,), producers={1: "b"}) == Moves(give=(0,))


def test_what_somebody_else_produces_is_not_taken() -> None:
    assert plan("a", [member("a")], 2, held=(), producers={1: "a stranger"}) == Moves(take=(0,))


def test_what_nobody_produces_is_given_first() -> None:
    members = [member("a", 0, 1, 2, 3), member("b")]
    assert plan("a", members, 4, held=(0, 1, 2, 3), producers={0: "a", 2: "a", 3: "a"}) == Moves(give=(1, 3))


@dataclass
class World:
    """Owners that act in any order, on what they see when it is their turn."""

    partitions: int
    held: dict[str, set[int]] = field(default_factory=dict)
    moved: int = 0

    def members(self) -> list[Member]:
        return [member(name, *sorted(held)) for name, held in sorted(self.held.items())]

    def act(self, name: str) -> bool:
        producers = {each: owner for owner, held in self.held.items() for each in held}
        moves = plan(name, self.members(), self.partitions, held=frozenset(self.held[name]), producers=producers)
        self.held[name] -= set(moves.give)
        for each in moves.take:
            assert each not in producers
            self.held[name].add(each)
        self.moved += len(moves.give) + len(moves.take)
        return moves != Moves()

    def settle(self, random: Random) -> None:
        for _ in range(20):
            names = list(self.held)
            random.shuffle(names)
            acted = [self.act(name) for name in names]
            if not any(acted):
                return
        raise AssertionError(f"does not come to rest: {self.held}")


@pytest.mark.parametrize("seed", range(20))
def test_joins_leaves_and_deaths_end_in_even_shares(seed: int) -> None:
    random = Random(seed)
    world = World(random.choice([1, 2, 5, 16, 64]), {"o0": set()})
    world.settle(random)
    for step in range(1, 30):
        if len(world.held) == 1 or random.random() < 0.5:
            world.held[f"o{step}"] = set()
        else:
            del world.held[random.choice(list(world.held))]
        before, members = world.moved, len(world.held)
        world.settle(random)
        shares = [len(held) for held in world.held.values()]
        assert sum(shares) == world.partitions, f"seed {seed}, step {step}"
        assert max(shares) - min(shares) <= 1, f"seed {seed}, step {step}"
        # What has to move, moves once: a share is given and taken.
        assert world.moved - before <= 2 * (-(-world.partitions // members) + members), f"seed {seed}, step {step}"
