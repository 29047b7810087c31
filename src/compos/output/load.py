"""Images handed to the Docker Engine, as `docker image load` takes them.

May touch: the program `docker`, the store (reading).
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import PackageError
from compos.output.write import write_stream

if TYPE_CHECKING:
    from compos.tree.node import Piece

__all__ = ["load_image", "tag_loaded"]

LOST_PART = "not found"
LOST_PARTS_SECONDS = (0.2, 0.5, 1.0, 2.0)


def load_image(root: Path, pieces: Sequence[Piece], name: str) -> None:
    """Load the saved image `pieces` of the store `root` into the engine that `docker` talks to.
    Raises `PackageError` (`docker-load`)."""
    # After a build, an engine that keeps images in containerd's store drops what BuildKit no
    # longer needs, in the background, and with it parts that the load has just found to be there.
    for seconds in (*LOST_PARTS_SECONDS, None):
        said = _load(root, pieces, name)
        if not said:
            return
        if seconds is None or not said.endswith(LOST_PART):
            raise _failed(
                name, f"docker could not load the image: {said}", "Is the engine running?"
            )
        time.sleep(seconds)


def _load(root: Path, pieces: Sequence[Piece], name: str) -> str:
    """What docker says about its failure, if it fails."""
    command = ["docker", "image", "load", "--quiet"]
    try:
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as saved, os.fdopen(writing, "wb") as out:
            process = subprocess.Popen(
                command, stdin=saved, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            saved.close()
            broken = ""
            with process:
                try:
                    write_stream(root, out.fileno(), pieces)
                except BrokenPipeError:
                    broken = "it stopped reading"
                out.close()
                output, _ = process.communicate()
    except FileNotFoundError as error:
        raise _failed(name, "the program docker is not installed", "Install it.") from error
    if not process.returncode and not broken:
        return ""
    return output.decode("utf-8", "replace").strip()[-500:] or broken or "no reason given"


def tag_loaded(name: str, other: str) -> None:
    """Give an image of the engine another name. Raises `PackageError` (`docker-load`)."""
    try:
        done = subprocess.run(
            ["docker", "image", "tag", name, other], capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise _failed(name, "the program docker is not installed", "Install it.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-500:] or "no reason given"
        raise _failed(
            name, f"docker could not name the image {other}: {said}", "Is the engine running?"
        )


def _failed(name: str, message: str, hint: str) -> PackageError:
    return PackageError("docker-load", message, place=name, hint=hint)
