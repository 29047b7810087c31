"""The one door through which every call to a cloud goes: attempts, errors in words, dry runs.

May touch: whatever the call does. Providers switch off the attempts of their SDKs: how often a call
is made, and how long is waited in between, is decided here, for all of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from compos.cloud.failure import Explain, explained
from compos.errors import Transient
from compos.http.retry import Attempts

__all__ = ["Calls"]

Result = TypeVar("Result")


class Calls:
    """Makes calls, or prints them.

    `explain` turns the exceptions of an SDK into `CloudError`. With `show`, nothing is sent: each
    call is shown as one line of text. `wait` sleeps for a number of seconds.
    """

    def __init__(
        self,
        explain: Explain,
        *,
        show: Callable[[str], None] | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._explain = explain
        self._show = show
        self.wait = wait

    @property
    def dry(self) -> bool:
        """Whether calls are only shown."""
        return self._show is not None

    def __call__(
        self,
        name: str,
        perform: Callable[[], Result],
        *,
        answer: Result,
        shown: Mapping[str, object] | None = None,
    ) -> Result:
        """Make the call `name`; in a dry run, show it with the arguments `shown`, and return
        `answer`.

        A call that failed in a way that may pass is repeated: it has to be one that does no harm
        when it is made twice. Raises `CloudError`.
        """
        if self._show is not None:
            self._show(f"{name} {_text(shown or {})}".rstrip())
            return answer
        attempts = Attempts(self.wait)
        while True:
            try:
                return perform()
            except Exception as error:
                reason = explained(error, name, self._explain)
                if not isinstance(reason, Transient):
                    raise reason from error
                attempts.failed(reason)

    def until(self, ready: Callable[[], bool], *, seconds: float, pause: float) -> bool:
        """Ask `ready` for as many `seconds`, soon at first: what is small is ready soon; in the
        end every `pause` seconds. Returns its last answer. A dry run asks once."""
        waited, next_pause = 0.0, pause / 8
        while not (answer := ready()) and waited < seconds and not self.dry:
            self.wait(next_pause)
            waited += next_pause
            next_pause = min(2 * next_pause, pause)
        return answer or self.dry


_SECRETS = frozenset(
    ("adminPassword", "customData", "user_data", "UserData", "user-data", "guestinfo.userdata")
)
"""Arguments that are passwords, or may hold some: what the user gives to a machine."""


def _masked(value: object) -> object:
    """`value` without the secrets in it."""
    if isinstance(value, Mapping):
        found = {key: "***" if key in _SECRETS else _masked(one) for key, one in value.items()}
        # Google and VMware have pairs of keys and values.
        return {**found, "value": "***"} if found.get("key") in _SECRETS else found
    return list(map(_masked, value)) if isinstance(value, (list, tuple)) else value


def _text(shown: Mapping[str, object]) -> str:
    if not shown:
        return ""
    return json.dumps(_masked(shown), default=str, ensure_ascii=False)
