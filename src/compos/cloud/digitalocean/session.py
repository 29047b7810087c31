"""DigitalOcean's API with the user's token, and Spaces with its keys.

May touch: the variables DIGITALOCEAN_… and SPACES_….
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from compos.cloud.digitalocean.image import DigitalOceanImages
from compos.cloud.direct import direct, token_from
from compos.cloud.object_storage import bucket_at
from compos.errors import CloudError

__all__ = ["connect"]

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
    `cloud-option`, `cloud-extra`."""
    if bucket and not re.fullmatch(r"[a-z]{3}[0-9]", region):
        raise CloudError(
            "cloud-option", f"{region!r} is no region", hint="Name one with --region, as fra1."
        )
    dry = show is not None
    names = ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")
    token = token_from(names, "DigitalOcean", dry=dry)
    keys = (
        token_from(("SPACES_ACCESS_KEY_ID",), "Spaces", dry=dry or not bucket),
        token_from(("SPACES_SECRET_ACCESS_KEY",), "Spaces", dry=dry or not bucket),
    )
    base = os.environ.get("DIGITALOCEAN_API_URL", "").rstrip("/") or API
    spaces = os.environ.get("SPACES_ENDPOINT_URL") or f"https://{region}.digitaloceanspaces.com"
    return DigitalOceanImages(
        direct(base, {"Authorization": f"Bearer {token}"}, show=show, wait=wait),
        region,
        bucket_at(bucket, spaces, region, keys, extra="digitalocean", show=show, wait=wait),
        name=name,
    )
