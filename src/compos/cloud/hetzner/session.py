"""Hetzner's API with the user's token.

May touch: the variables HCLOUD_….
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from compos.cloud.direct import direct, token_from
from compos.cloud.hetzner.image import HetznerImages, HetznerOptions
from compos.cloud.hetzner.machine import HetznerMachines, ServerOptions
from compos.cloud.hetzner.writer import Writer
from compos.cloud.rest import Rest

__all__ = ["connect", "connect_machines"]

API = "https://api.hetzner.cloud/v1"


def connect(
    options: HetznerOptions,
    *,
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> HetznerImages:
    """Snapshots of the project that HCLOUD_TOKEN belongs to. Raises `CloudError`
    (`cloud-credentials`)."""
    return HetznerImages(_rest(show, wait), Writer(wait or time.sleep, show), options)


def connect_machines(
    options: ServerOptions,
    *,
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> HetznerMachines:
    """Servers of that project. Raises `CloudError` (`cloud-credentials`)."""
    return HetznerMachines(_rest(show, wait), options)


def _rest(show: Callable[[str], None] | None, wait: Callable[[float], None] | None) -> Rest:
    token = token_from(("HCLOUD_TOKEN",), "Hetzner", dry=show is not None)
    base = os.environ.get("HCLOUD_ENDPOINT", "").rstrip("/") or API
    return direct(base, {"Authorization": f"Bearer {token}"}, show=show, wait=wait)
