"""Work in the order of what it needs, several pieces at a time. Pure, but for threads."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Generic, NamedTuple, TypeVar

from compos.progress import threads

__all__ = ["Done", "run_in_order"]

Key = TypeVar("Key", bound=Hashable)


class Done(NamedTuple, Generic[Key]):
    """What became of the work: `failed` has errors in the order of the keys, `skipped` what was not
    begun, because something that it needs failed or all was stopped."""

    failed: Mapping[Key, BaseException]
    skipped: Collection[Key]


def run_in_order(
    needs: Mapping[Key, Collection[Key]],
    work: Callable[[Key], object],
    *,
    jobs: int,
    keep_going: bool,
    stop: Callable[[], None],
) -> Done[Key]:
    """Call `work` once for each key, in up to `jobs` threads, after it has returned for all that
    the key needs. Without circles: `needs` has each key behind those that it needs.

    After an error nothing more is begun, or, with `keep_going`, nothing that needs what has failed.
    `stop` is called when all shall end, also for an interrupt, which is raised again.
    """
    run = _Run(needs)
    executor = threads(jobs, "package")
    running: dict[Future[object], Key] = {}
    try:
        ready = run.ready()
        while True:
            running |= {executor.submit(work, key): key for key in ready}
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                run.note(running.pop(future), future)
            if run.failed and not keep_going:
                stop()
                for future in running:
                    future.cancel()
            ready = run.ready() if keep_going or not run.failed else []
    except BaseException:
        stop()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
    return run.result()


class _Run(Generic[Key]):
    """What is still to be done."""

    def __init__(self, needs: Mapping[Key, Collection[Key]]) -> None:
        self._order = list(needs)
        self._left = {key: len(set(of)) for key, of in needs.items()}
        self._behind: dict[Key, list[Key]] = {key: [] for key in needs}
        for key, of in needs.items():
            for one in set(of):
                self._behind[one].append(key)
        self._ready = [key for key, count in self._left.items() if not count]
        self._done: set[Key] = set()
        self.failed: dict[Key, BaseException] = {}

    def ready(self) -> list[Key]:
        """What can be begun since this was asked last."""
        ready, self._ready = self._ready, []
        return ready

    def note(self, key: Key, future: Future[object]) -> None:
        """Work on `key` has ended."""
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self.failed[key] = error
            return
        self._done.add(key)
        for other in self._behind[key]:
            self._left[other] -= 1
            if not self._left[other]:
                self._ready.append(other)

    def result(self) -> Done[Key]:
        """What became of it all."""
        return Done(
            {key: self.failed[key] for key in self._order if key in self.failed},
            [key for key in self._order if key not in self.failed and key not in self._done],
        )
