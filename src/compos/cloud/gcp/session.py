"""Requests to Google Cloud with the user's credentials.

May touch: the network, and the files and variables in which google-auth finds credentials.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from compos.cloud.calls import Calls
from compos.cloud.failure import Problem
from compos.cloud.rest import Answer, Rest, Transport
from compos.errors import CloudDenied, CloudError, ComposError
from compos.extras import load_extra

__all__ = ["Google", "connect"]

COMPUTE = "https://compute.googleapis.com/compute/v1"
STORAGE = "https://storage.googleapis.com"
SCOPES = (
    "https://www.googleapis.com/auth/compute",
    "https://www.googleapis.com/auth/devstorage.read_write",
)
TIMEOUT = 120
"""Seconds without a byte."""


class Google(NamedTuple):
    """The APIs, with the project's URL in Compute Engine."""

    rest: Rest
    project: str
    compute: str
    storage: str


def connect(
    *,
    project: str,
    keys: str,
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> Google:
    """Requests in `project`, with the service account in the file `keys`, else with the application
    default credentials. Raises `CloudError`: `cloud-credentials`, `cloud-option`; `ExtraMissing`.

    The variables that name emulators are Google's own: STORAGE_EMULATOR_HOST for storage,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE as gcloud has it; they get no credentials.
    """
    calls = Calls(_explain, show=show, **({"wait": wait} if wait else {}))
    storage = os.environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
    compute = os.environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "").rstrip("/")
    transport: Transport = _never
    own = ""
    if not show:
        transport, own = _transport(keys, anonymous=bool(storage and compute))
    project = project or own or ("PROJECT" if show else "")
    if not project:
        raise CloudError(
            "cloud-option",
            "no project of Google Cloud is named",
            hint="Name one with --project, or set CLOUDSDK_CORE_PROJECT.",
        )
    base = f"{compute}/compute/v1" if compute else COMPUTE
    return Google(Rest(calls, transport), project, f"{base}/projects/{project}", storage or STORAGE)


def _never(*_: object) -> Answer:
    raise AssertionError


def _transport(keys: str, *, anonymous: bool) -> tuple[Transport, str]:
    """What sends requests, and the project that belongs to the credentials."""
    requests = load_extra("google.auth.transport.requests", "gcp")
    try:
        if anonymous:
            nobody = load_extra("google.auth.credentials", "gcp").AnonymousCredentials()
            credentials, project = nobody, ""
        elif keys:
            account = load_extra("google.oauth2.service_account", "gcp").Credentials
            credentials = account.from_service_account_file(keys, scopes=SCOPES)
            project = credentials.project_id or ""
        else:
            credentials, project = load_extra("google.auth", "gcp").default(scopes=SCOPES)
    except ComposError:
        raise
    except Exception as error:
        raise CloudDenied(
            "cloud-credentials",
            f"no credentials for Google Cloud can be used: {type(error).__name__}",
            place=keys or None,
            hint="Run `gcloud auth application-default login`, set GOOGLE_APPLICATION_CREDENTIALS, "
            "or name a service account's file with --keys.",
        ) from error
    session = requests.AuthorizedSession(credentials, max_refresh_attempts=1)

    def send(
        method: str, url: str, headers: Mapping[str, str], body: bytes | Iterator[bytes] | None
    ) -> Answer:
        found = session.request(
            method, url, data=body, headers=dict(headers), timeout=TIMEOUT, allow_redirects=False
        )
        return Answer(
            found.status_code,
            {key.lower(): value for key, value in found.headers.items()},
            found.content,
        )

    return send, project or ""


def _explain(error: Exception) -> Problem | ComposError | None:
    exceptions = load_extra("google.auth.exceptions", "gcp")
    # The second is raised for credentials of a kind that has no refreshing.
    if isinstance(error, (exceptions.RefreshError, exceptions.InvalidOperation)):
        return Problem(401, "", "the credentials cannot be refreshed: they have expired or ended")
    if isinstance(error, (exceptions.GoogleAuthError, OSError)):
        # What requests raises is an OSError, without a file's name.
        return None if getattr(error, "filename", None) else Problem(0, "", str(error))
    return None
