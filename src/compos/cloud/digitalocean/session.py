"""DigitalOcean's API with the user's token, and Spaces with its keys.

May touch: the variables DIGITALOCEAN_… and SPACES_….
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from compos.cloud.digitalocean.image import DigitalOceanImages
from compos.cloud.digitalocean.machine import DigitalOceanMachines
from compos.cloud.direct import direct, token_from
from compos.cloud.object_storage import bucket_at
from compos.cloud.rest import Rest
from compos.errors import CloudError

__all__ = ["connect", "connect_machines"]

API = "https://api.digitalocean.com"


def connect(
    *,
    bucket: str = "",
    name: str = "",
    region: str = "",
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> DigitalOceanImages:
    """Images in `region`, where the Space `bucket` is; what lists
    and removes needs neither. Raises `CloudError`: `cloud-credentials`,
    `cloud-option`; `ExtraMissing`."""
    if bucket and not re.fullmatch(r"[a-z]{3}[0-9]", region):
        raise CloudError(
            "cloud-option", f"{region!r} is no region", hint="Name one with --region, as fra1."
        )
    dry = show is not None
    rest = _rest(show, wait)
    keys = (
        token_from(("SPACES_ACCESS_KEY_ID",), "Spaces", dry=dry or not bucket),
        token_from(("SPACES_SECRET_ACCESS_KEY",), "Spaces", dry=dry or not bucket),
    )
    spaces = os.environ.get("SPACES_ENDPOINT_URL") or f"https://{region}.digitaloceanspaces.com"
    return DigitalOceanImages(
        rest,
        region,
        bucket_at(bucket, spaces, region, keys, extra="digitalocean", show=show, wait=wait),
        name=name,
    )


def connect_machines(
    *, show: Callable[[str], None] | None = None, wait: Callable[[float], None] | None = None
) -> DigitalOceanMachines:
    """Droplets of the token's team. Raises `CloudError` (`cloud-credentials`)."""
    return DigitalOceanMachines(_rest(show, wait))


def _rest(show: Callable[[str], None] | None, wait: Callable[[float], None] | None) -> Rest:
    names = ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")
    token = token_from(names, "DigitalOcean", dry=show is not None)
    base = os.environ.get("DIGITALOCEAN_API_URL", "").rstrip("/") or API
    return direct(base, {"Authorization": f"Bearer {token}"}, show=show, wait=wait)
