"""vCenter with the user's name and password: a session, whose token goes with each request.

May touch: the network, the variables VC….
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from compos.cloud.direct import direct
from compos.cloud.rest import Answer, Rest
from compos.cloud.vcenter.image import VcenterImages, VcenterOptions
from compos.cloud.vcenter.machine import VcenterMachines, VmOptions
from compos.errors import CloudDenied
from compos.http.address import web_address

__all__ = ["connect", "connect_machines"]


def connect(
    options: VcenterOptions,
    *,
    url: str,
    certificates: tuple[str, ...] = (),
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> VcenterImages:
    """The libraries of the vCenter at `url`, which may have user and password in it, as LinuxKit's
    has; else they are VCUSER and VCPASSWORD. Raises `CloudError` (`cloud-credentials`) and
    `AddressError`."""
    return VcenterImages(_rest(url, certificates, show, wait), options)


def connect_machines(
    options: VmOptions,
    *,
    url: str,
    certificates: tuple[str, ...] = (),
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> VcenterMachines:
    """The machines of that vCenter, as for libraries."""
    return VcenterMachines(_rest(url, certificates, show, wait), options)


def _rest(
    url: str,
    certificates: tuple[str, ...],
    show: Callable[[str], None] | None,
    wait: Callable[[float], None] | None,
) -> Rest:
    if show and not url:
        url = "https://VCENTER"
    parts = web_address(url)
    user = unquote(parts.username or "") or os.environ.get("VCUSER", "")
    password = unquote(parts.password or "") or os.environ.get("VCPASSWORD", "")
    if not show and not (user and password):
        raise CloudDenied(
            "cloud-credentials",
            "no user and password for vCenter are found",
            hint="Set VCUSER and VCPASSWORD.",
        )
    host = urlsplit(url).netloc.rpartition("@")[2]
    base = f"{parts.scheme}://{host}/api"
    login = base64.b64encode(f"{user}:{password}".encode()).decode()
    # "Session": create.
    opened = direct(
        base,
        {"Authorization": f"Basic {login}"},
        show=show,
        wait=wait,
        certificates=certificates,
    ).exchange("POST", "/session", headers={}, body=None, answer=Answer(201, {}, b'"TOKEN"'))
    token = opened.document().get("items", "") if opened.body else ""
    headers = {"vmware-api-session-id": str(token)}
    return direct(base, headers, show=show, wait=wait, certificates=certificates)
