"""Scaleway's APIs with the user's credentials.

May touch: the variables SCW_… and the file that `scw` keeps them in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compos.cloud.direct import direct
from compos.cloud.object_storage import bucket_at
from compos.cloud.rest import Rest
from compos.cloud.scaleway.image import ScalewayImages, Zone
from compos.cloud.scaleway.machine import ScalewayMachines
from compos.errors import CloudDenied, CloudError

__all__ = ["connect", "connect_machines"]

API = "https://api.scaleway.com"
ZONES = {"par1": "fr-par-1", "ams1": "nl-ams-1"}
"""LinuxKit's words."""

_PROFILE = {
    "access_key": "SCW_ACCESS_KEY",
    "secret_key": "SCW_SECRET_KEY",
    "default_zone": "SCW_DEFAULT_ZONE",
    "default_project_id": "SCW_DEFAULT_PROJECT_ID",
    "default_organization_id": "SCW_DEFAULT_ORGANIZATION_ID",
}
"""Keys of a profile, and the variables that go before them."""


def connect(
    *,
    bucket: str = "",
    name: str = "",
    zone: str = "",
    project: str = "",
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> ScalewayImages:
    """Images in `zone` and `project`, else those of the user's configuration; `bucket` is in the
    zone's region; what lists and removes needs none. Raises `CloudError`: `cloud-credentials`,
    `cloud-option`; `ExtraMissing`."""
    place, keys = _account(zone, project, dry=show is not None)
    region = place.name.rpartition("-")[0]
    storage = os.environ.get("AWS_ENDPOINT_URL_S3") or f"https://s3.{region}.scw.cloud"
    return ScalewayImages(
        _rest(keys, show, wait),
        place,
        bucket_at(bucket, storage, region, keys, extra="scaleway", show=show, wait=wait),
        name=name,
    )


def connect_machines(
    *,
    zone: str = "",
    project: str = "",
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
) -> ScalewayMachines:
    """Instances in `zone` and `project`, as for images. Raises `CloudError`."""
    place, keys = _account(zone, project, dry=show is not None)
    return ScalewayMachines(_rest(keys, show, wait), place)


def _rest(
    keys: tuple[str, str],
    show: Callable[[str], None] | None,
    wait: Callable[[float], None] | None,
) -> Rest:
    base = os.environ.get("SCW_API_URL", "").rstrip("/") or API
    return direct(base, {"X-Auth-Token": keys[1]}, show=show, wait=wait)


def _account(zone: str, project: str, *, dry: bool) -> tuple[Zone, tuple[str, str]]:
    """Where, and the access key and the secret key."""
    known = _configuration()
    zone = zone or known.get("default_zone", "") or "fr-par-1"
    zone = ZONES.get(zone, zone)
    if not re.fullmatch(r"[a-z]{2}-[a-z]{3}-[0-9]", zone):
        raise CloudError("cloud-option", f"{zone!r} is no zone", hint="Use one such as fr-par-1.")
    # The first project of an organization has its identifier.
    project = (
        project
        or known.get("default_project_id", "")
        or known.get("default_organization_id", "")
        or ("PROJECT" if dry else "")
    )
    keys = (known.get("access_key", ""), known.get("secret_key", ""))
    if not dry and not all(keys):
        raise CloudDenied(
            "cloud-credentials",
            "no credentials for Scaleway are found",
            hint="Set SCW_ACCESS_KEY and SCW_SECRET_KEY, or run `scw init`.",
        )
    if not project:
        raise CloudError(
            "cloud-option",
            "no project of Scaleway is named",
            hint="Name one with --project-id, or set SCW_DEFAULT_PROJECT_ID.",
        )
    return Zone(zone, project), keys


def _configuration() -> dict[str, str]:
    """What is known, of variables and of the active profile of `scw`'s file."""
    profile = _profile()
    values = {
        key: os.environ.get(variable) or profile.get(key, "") for key, variable in _PROFILE.items()
    }
    return {key: str(value) for key, value in values.items() if value}


def _profile() -> dict[str, Any]:
    home = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    path = Path(os.environ.get("SCW_CONFIG_PATH") or f"{home}/scw/config.yaml")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    import yaml

    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CloudError(
            "cloud-configuration", "the file is no configuration of scw", place=str(path)
        )
    name = os.environ.get("SCW_PROFILE") or found.get("active_profile")
    profiles = found.get("profiles")
    chosen = profiles.get(name) if isinstance(profiles, dict) else None
    return {**found, **(chosen if isinstance(chosen, dict) else {})}
