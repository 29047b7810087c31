"""Every call of every push can fail, in every way: what is registered is whole, and the next push
leaves what one without failures would have left.

moto and a storage emulator take part in every run. Azurite, Keystone and Glance do in `make
clouds`, which sets COMPOS_CLOUDS and installs them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from compos.cloud.model import Image
from compos.cloud.push import Outcome, push_image
from compos.errors import CloudDenied, CloudError, CloudQuota
from tests.cloud.disks import small_image
from tests.cloud.proxy import Fault, Proxy
from tests.cloud.worlds import OPENERS, World, chosen_worlds, require

pytestmark = pytest.mark.slow

ONE_PUSH = 3 * (512 << 10) + 20_000
"""Bytes: of the 64 MiB, three blocks of half a MiB have data; documents are small."""

ATTEMPTS = 4
"""Of a call that gets no answer (`http.retry`)."""


ALL = bool(os.environ.get("COMPOS_CLOUDS"))
"""Whether the whole table is run; else a part that has every call and every test."""

PASSING = ("before", "after", "429") if ALL else ("after",)
KILLS = ("before", "after") if ALL else ("after",)


class Case(NamedTuple):
    world: World
    image: Image
    folder: Path

    def push(self, store: str = "store") -> Outcome:
        notes = self.folder / store / "clouds"
        return push_image(
            self.world.connect(notes), self.world.name, self.image, self.folder / store
        )

    def check_whole(self) -> None:
        """One image, with the right contents."""
        assert list(self.world.whole().values()) == [self.image.digest]

    def calls(self) -> tuple[list[str], int]:
        """The calls of a push without failures, each once, and how many things are there then."""
        # The first push also asks which versions the services have.
        for _ in range(2):
            self.clear()
            self.push()
            calls = list(dict.fromkeys(self.world.proxy.calls))
        self.check_whole()
        return calls, len(self.world.everything())

    def clear(self) -> None:
        """Nothing is there, and nothing goes wrong."""
        self.world.proxy.expect(None)
        self.world.clear()
        self.world.proxy.expect(None)


@pytest.fixture(scope="module", params=chosen_worlds())
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("cloud")
    name = request.param
    require(name)
    with pytest.MonkeyPatch.context() as patch, OPENERS[name](folder) as world:
        for key, value in world.environment.items():
            patch.setenv(key, value)
        yield Case(world, small_image(folder, world.name, world.container), folder)


def test_a_failure_that_passes_is_not_noticed(case: Case) -> None:
    calls, count = case.calls()
    for call in calls:
        for kind in PASSING:
            case.clear()
            fault = Fault(call, case.world.refusals.get(kind, kind))
            case.world.proxy.expect(fault)
            case.push()
            assert case.world.proxy.hits == 1, (call, kind)
            case.check_whole()
            assert len(case.world.everything()) == count, (call, kind)


REFUSALS = {"403": CloudDenied, "expired": CloudDenied, "quota": CloudQuota, "before": CloudError}


@pytest.mark.parametrize("kind", REFUSALS if ALL else ("403", "quota"))
def test_a_failure_that_lasts_leaves_nothing_half(case: Case, kind: str) -> None:
    calls, count = case.calls()
    for call in calls:
        case.clear()
        case.world.proxy.expect(Fault(call, case.world.refusals.get(kind, kind), once=False))
        try:
            case.push()
        except REFUSALS[kind] as error:
            check_no_secret(case, error)
        hits = case.world.proxy.hits
        assert hits, call
        case.world.proxy.expect(None)
        assert set(case.world.whole().values()) <= {case.image.digest}, call
        if not case.world.whole() and hits <= (ATTEMPTS if kind == "before" else 1):
            # The calls that clean up were none of those that failed.
            assert case.world.everything() == [], call
        case.push()
        case.check_whole()
        assert len(case.world.everything()) == count, call


def check_no_secret(case: Case, error: CloudError) -> None:
    text = repr((error.message, error.place, error.hint, str(error)))
    for key, value in case.world.environment.items():
        if "SECRET" in key or "PASSWORD" in key:
            assert value not in text


def test_a_killed_push_is_finished_by_the_next(case: Case) -> None:
    calls, count = case.calls()
    for call in calls:
        for kind in KILLS:
            case.clear()
            killed = forked_until_killed(case.world.proxy, call, kind, case.push)
            assert killed, (call, kind)
            case.world.proxy.expect(None)
            assert set(case.world.whole().values()) <= {case.image.digest}, (call, kind)
            case.push()
            case.check_whole()
            assert len(case.world.everything()) == count, (call, kind)


def forked_until_killed(proxy: Proxy, call: str, kind: str, work: Callable[[], object]) -> bool:
    """Do `work` in a process that is killed at a call; returns whether it was."""
    ready, go = os.pipe()
    child = forked(lambda: (os.read(ready, 1), work()))
    proxy.expect(Fault(call, kind, act=lambda: os.kill(child, signal.SIGKILL)))
    os.write(go, b"!")
    _, status = os.waitpid(child, 0)
    os.close(ready)
    os.close(go)
    return os.WIFSIGNALED(status)


def forked(work: Callable[[], object]) -> int:
    """A child that does `work`, and ends with 0 if that succeeds."""
    child = os.fork()
    if child:
        return child
    status = 1
    with suppress(BaseException):
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stderr.fileno())
        work()
        status = 0
    os._exit(status)


@pytest.mark.parametrize("stores", ["one", "each"])
def test_ten_pushes_at_once_are_one_image(case: Case, stores: str) -> None:
    """Of one machine, and of ten machines."""
    _, count = case.calls()
    case.clear()
    names = ["same" if stores == "one" else f"store{number}" for number in range(10)]
    children = [forked(partial(case.push, name)) for name in names]
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sent = case.world.proxy.body_bytes
    case.check_whole()
    assert len(case.world.everything()) == count
    if stores == "one":
        assert statuses == [0] * 10
        assert sent < 2 * ONE_PUSH


def test_what_is_sent_is_what_is_not_zero(case: Case) -> None:
    case.clear()
    case.push()
    assert case.world.proxy.body_bytes < ONE_PUSH


def test_what_is_made_is_listed_and_removed(case: Case) -> None:
    """By its tag, as `compos clouds gc` does."""
    case.clear()
    case.push()
    if case.world.name == "aws":
        return  # moto does not know the tags of RegisterImage; see tests/cli/test_push.py
    provider = case.world.connect(case.folder / "store" / "clouds")
    made = list(provider.made())
    assert [(one.digest[:60], one.complete) for one in made] == [(case.image.digest[:60], True)]
    provider.remove(made[0])
    provider.remove(made[0])
    assert case.world.everything() == []
