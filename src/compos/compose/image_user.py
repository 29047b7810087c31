"""Users that images name (a Dockerfile's `USER`) and that containers do not get: LinuxKit passes
them over, and so do we.

Pure. What runs as root against its image's wish is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compos.compose.settings import label_settings
from compos.config.model import Config, ImageEntry
from compos.image.model import Image

__all__ = ["ignored_users"]

ROOT = ("", "0", "root")


def ignored_users(config: Config, images: Mapping[str, Image]) -> list[str]:
    """A sentence for each container whose image names another user than root, when neither YAML nor
    label say which."""
    sections = {
        "onboot": config.onboot,
        "onshutdown": config.onshutdown,
        "services": config.services,
    }
    return [
        note for section, entries in sections.items() for note in _ignored(section, entries, images)
    ]


def _ignored(
    section: str, entries: tuple[ImageEntry, ...], images: Mapping[str, Image]
) -> Iterator[str]:
    for entry in entries:
        image = images.get(entry.image)
        user, _, group = image.config.user.partition(":") if image else ("", "", "")
        if image is None or user in ROOT or entry.settings.uid is not None:
            continue
        if label_settings(image).uid is not None:
            continue
        keys = f"`uid: {user}`" if user.isdecimal() else "`uid` with its number"
        keys += f" and `gid: {group}`" if group.isdecimal() and user.isdecimal() else ""
        yield (
            f"{section}[{entry.name}] runs as root, not as the image's user {image.config.user!r}: "
            f"to change this, write {keys}"
        )
