"""Requests to OpenStack's services with the user's credentials.

May touch: the network, and the files and variables in which openstacksdk finds clouds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from compos.cloud.calls import Calls
from compos.cloud.failure import Problem
from compos.cloud.rest import Answer, Rest
from compos.errors import CloudDenied, ComposError
from compos.extras import load_extra

__all__ = ["OpenStack", "connect"]

TIMEOUT = 300


class OpenStack(NamedTuple):
    """The services; paths begin behind the version in each service's address."""

    image: Rest
    compute: Rest


def connect(
    *, show: Callable[[str], None] | None = None, wait: Callable[[float], None] | None = None
) -> OpenStack:
    """The cloud that OS_CLOUD, OS_… or clouds.yaml name. Raises `CloudError`
    (`cloud-credentials`) and `ExtraMissing`."""
    calls = Calls(_explain, show=show, **({"wait": wait} if wait else {}))
    if show:
        return OpenStack(Rest(calls, _never), Rest(calls, _never))
    openstack = load_extra("openstack", "openstack")
    try:
        connection = openstack.connect(app_name="compos")
        adapters = connection.image, connection.compute
    except Exception as error:
        reason = _explain(error)
        if isinstance(reason, ComposError):
            raise reason from error
        raise CloudDenied(
            "cloud-credentials",
            f"no cloud can be used: {type(error).__name__}: {error}"[:300],
            hint=_WAYS,
        ) from error
    return OpenStack(*(Rest(calls, _transport(adapter)) for adapter in adapters))


_WAYS = (
    "Name a cloud of clouds.yaml with OS_CLOUD, or source your project's openrc.sh, which sets "
    "OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and others."
)


def _never(*_: object) -> Answer:
    raise AssertionError


def _transport(adapter: object) -> Callable[..., Answer]:
    def send(
        method: str, url: str, headers: Mapping[str, str], body: bytes | Iterator[bytes] | None
    ) -> Answer:
        request = adapter.request  # type: ignore[attr-defined]
        found = request(
            url,
            method,
            headers=dict(headers),
            data=body,
            raise_exc=False,
            redirect=False,
            connect_retries=0,
            status_code_retries=0,
            timeout=TIMEOUT,
        )
        return Answer(
            found.status_code,
            {key.lower(): value for key, value in found.headers.items()},
            found.content,
        )

    return send


def _explain(error: Exception) -> Problem | ComposError | None:
    exceptions = load_extra("keystoneauth1.exceptions", "openstack")
    config = load_extra("openstack.exceptions", "openstack")
    if isinstance(error, (exceptions.Unauthorized, exceptions.AuthorizationFailure)):
        return Problem(401, "", "Keystone does not accept the credentials")
    unusable = (
        exceptions.MissingRequiredOptions,
        exceptions.AuthPluginException,
        config.ConfigException,
    )
    if isinstance(error, unusable):
        return CloudDenied(
            "cloud-credentials", f"no cloud is configured: {error}"[:300], hint=_WAYS
        )
    if isinstance(error, exceptions.HttpError):
        return Problem(int(cast("Any", error).http_status or 500), "", str(error))
    if isinstance(error, (exceptions.ClientException, OSError)):
        # An error of a file of this machine has its name.
        return None if getattr(error, "filename", None) else Problem(0, "", str(error))
    return None
