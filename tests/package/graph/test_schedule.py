"""Work in the order of what it needs."""

from __future__ import annotations

import random
import threading

import pytest

from compos.package.graph.schedule import Done, run_in_order

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}


def run(
    needs: dict[str, list[str]],
    fails: frozenset[str] = frozenset(),
    *,
    jobs: int = 2,
    keep_going: bool = False,
) -> tuple[list[str], Done[str], bool]:
    done: list[str] = []
    stopped = threading.Event()

    def work(key: str) -> None:
        if key in fails:
            raise ValueError(key)
        assert all(one in done for one in needs[key])
        done.append(key)

    result = run_in_order(needs, work, jobs=jobs, keep_going=keep_going, stop=stopped.set)
    return done, result, stopped.is_set()


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_is_done_once_behind_what_it_needs(jobs: int) -> None:
    done, result, stopped = run(DIAMOND, jobs=jobs)
    assert sorted(done) == list("abcde")
    assert (result.failed, result.skipped, stopped) == ({}, [], False)
    assert run({}) == ([], Done({}, []), False)


def test_an_error_ends_it() -> None:
    done, result, stopped = run(DIAMOND, frozenset("a"), jobs=1)
    assert stopped
    assert list(result.failed) == ["a"]
    assert sorted([*done, *result.failed, *result.skipped]) == list("abcde")
    assert not {"b", "c", "d"} & set(done)


def test_what_does_not_need_it_goes_on_if_that_is_wanted() -> None:
    done, result, stopped = run(DIAMOND, frozenset("be"), keep_going=True)
    assert sorted(done) == ["a", "c"]
    assert list(result.failed) == ["b", "e"]
    assert (result.skipped, stopped) == (["d"], False)


def test_independent_work_is_done_at_the_same_time() -> None:
    together = threading.Barrier(3)
    result = run_in_order(
        {"a": [], "b": [], "c": []},
        lambda _: together.wait(60),
        jobs=3,
        keep_going=False,
        stop=lambda: None,
    )
    assert not result.failed


def test_random_graphs() -> None:
    choice = random.Random(5)
    for _ in range(50):
        count = choice.randrange(30)
        needs = {
            str(key): [str(choice.randrange(key)) for _ in range(choice.randrange(4)) if key]
            for key in range(count)
        }
        fails = frozenset(key for key in needs if choice.random() < 0.1)
        done, result, _ = run(needs, fails, jobs=choice.randrange(1, 5), keep_going=True)
        spoiled: set[str] = set()
        for key, of in needs.items():
            if key in fails or spoiled & set(of):
                spoiled.add(key)
        assert set(done) == set(needs) - spoiled
        assert {*result.failed, *result.skipped} == spoiled
