"""What the verbs of `compos pkg` say of images that were built or pushed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from compos.api.packages import Made
    from compos.image.model import Image
    from compos.package.publish import Published

__all__ = ["say_built", "say_made", "say_published"]


def say_built(image: Image) -> None:
    """Report the name, platform, digest and size of `image`."""
    from compos.progress import notice

    size = sum(layer.size for layer in image.layers)
    notice(f"{image.name} {image.config.platform} {image.digest} {size / 1e6:.1f} MB")


def say_made(made: Made) -> None:
    """Report what was done for a platform."""
    from compos.progress import notice

    if made.image is None:
        notice(f"{made.name} {made.platform} is {made.done.value}")
    else:
        say_built(made.image)


def say_published(one: Published) -> None:
    """Print what a registry has now, and what is new of it."""
    news = [*(["pushed"] * one.pushed), *(["signed"] * one.signed)] or ["up to date"]
    click.echo(f"{one.reference} {one.digest} {' and '.join(news)}")
