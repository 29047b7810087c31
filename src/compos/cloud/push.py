"""The way of every image into every cloud: found, or sent and registered; never half of it.

May touch: the cloud, through a provider; the store's folder, for a lock.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from compos.cloud.model import Image, Provider, Pushed
from compos.errors import CloudError
from compos.image.locks import exclusive

__all__ = ["Outcome", "push_image"]

FOLDER = "clouds"
"""Below the store: locks of pushes."""

PAUSE = 0.2
"""Seconds between looks at a lock."""


class Outcome(NamedTuple):
    """What a push came to; `found` says that the image was there already."""

    pushed: Pushed
    found: bool


def push_image(provider: Provider, name: str, image: Image, store: Path) -> Outcome:
    """Have `image` registered at the provider called `name`, whatever was there before.

    Of several processes of this machine that push the same file, one sends it, and the others find
    it. What an attempt leaves unfinished is removed; if it cannot be (the process is killed, the
    network gone), the next push of the file continues or removes it. Raises `CloudError`.
    """
    folder = store / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / f"{name}-{image.digest}", lambda: time.sleep(PAUSE)):
        if (pushed := provider.find(image)) is not None:
            with suppress(CloudError):
                provider.abandon(image)
            return Outcome(pushed, found=True)
        try:
            return Outcome(provider.send(image), found=False)
        # Interrupted by the user, too.
        except BaseException as error:
            with suppress(CloudError):
                # Another machine may have been faster, and have removed what both were sending.
                if isinstance(error, CloudError) and (pushed := provider.find(image)) is not None:
                    return Outcome(pushed, found=True)
                provider.abandon(image)
            raise
