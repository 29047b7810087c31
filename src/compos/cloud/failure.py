"""Failures of clouds in words, without secrets. Pure, but for the environment, whose secrets are
taken out of messages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TypeAlias

from compos.errors import (
    CloudConflict,
    CloudDenied,
    CloudError,
    CloudMissing,
    CloudQuota,
    CloudUnreachable,
    ComposError,
)
from compos.http.retry import delay_from, may_pass

__all__ = ["Explain", "Problem", "explained", "without_secrets"]

MAX_MESSAGE = 300
"""Characters of what a cloud says that are repeated to the user."""

_SECRET_NAMES = re.compile("SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY$|CONNECTION_STRING")
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_USER = re.compile(r"(https?://)[^\s/@]+@")
_HEADER = re.compile(
    r"(?i)\b(authorization|x-auth-token|x-subject-token|signature|sig|x-amz-security-token)"
    r"([\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|aws4-hmac-sha256|sharedkey)\s+)?[^\s\"',;&]+"
)


class Problem(Exception):
    """A cloud's answer as providers read it from their SDK's exception.

    `status` is HTTP's, 0 without an answer; `code` is the cloud's own word; `delay` is the header
    Retry-After.
    """

    def __init__(self, status: int, code: str, message: str, delay: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.delay = delay


Explain: TypeAlias = "Callable[[Exception], Problem | ComposError | None]"
"""What an SDK's exception means; None for one that is a mistake of ours."""

_QUOTA = re.compile(
    "(?i)quota|limit_?exceeded|exceeded the (limit|maximum)|over.?limit|exceed your|"
    "reached the limit"
)
_EXPIRED = re.compile("(?i)expired|reauth|invalid_grant")
_THROTTLED = re.compile(
    "(?i)throttl|slowdown|slow down|too ?many ?requests|rate[ _]?(limit[ _]?)?exceeded|"
    "requestlimitexceeded|serverbusy"
)


def explained(error: Exception, call: str, explain: Explain) -> Exception:
    """The `CloudError` that stands for what went wrong in `call`, or `error` itself."""
    found = error if isinstance(error, (ComposError, Problem)) else explain(error)
    if found is None:
        return error
    return _of_problem(found, call) if isinstance(found, Problem) else found


def _of_problem(problem: Problem, call: str) -> CloudError:
    status, code = problem.status, problem.code
    text = without_secrets(f"{code}: {problem.message}" if code else problem.message)
    words = f"{code} {problem.message}"
    if not status:
        return CloudUnreachable(
            "cloud-unreachable", f"no answer from the cloud: {text}", place=call
        )
    if _THROTTLED.search(words) or (may_pass(status) and not _QUOTA.search(words)):
        import time

        return CloudUnreachable(
            "cloud-unreachable",
            f"the cloud cannot answer now: {text}",
            place=call,
            delay=delay_from(problem.delay, time.time),
        )
    if _QUOTA.search(words):
        return CloudQuota(
            "cloud-quota",
            f"a quota of the account is exhausted: {text}",
            place=call,
            hint="Remove what is not needed (compos clouds gc), or ask for a larger quota.",
        )
    if status == 401 or _EXPIRED.search(code):
        return CloudDenied(
            "cloud-credentials",
            f"the cloud does not accept the credentials: {text}",
            place=call,
            hint="Log in again; docs/clouds.md lists the ways to give credentials.",
        )
    if status == 403:
        return CloudDenied(
            "cloud-denied",
            f"the account may not do this: {text}",
            place=call,
            hint="docs/clouds.md lists the permissions that are needed.",
        )
    if status == 404:
        return CloudMissing("cloud-missing", f"it does not exist: {text}", place=call)
    if status in (409, 412):
        return CloudConflict("cloud-conflict", f"the cloud has something else: {text}", place=call)
    return CloudError("cloud-refused", f"the cloud refuses the call: {text}", place=call)


def without_secrets(text: str) -> str:
    """`text` in one line of limited length, without the environment's secrets, queries of URLs
    (which may be signatures), users in URLs and headers that authorize."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET_NAMES.search(name):
            text = text.replace(value, "***")
    text = _QUERY.sub(r"\1?…", _USER.sub(r"\1", text))
    text = " ".join(_HEADER.sub(r"\1\2***", text).split())
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"
