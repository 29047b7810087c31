"""Cables between two guests: each frame is a datagram between two sockets of a folder.

May touch: the folders that the user names as links. Guests come and go in any order, as machines at
a cable do; no port of this machine is used, and only who may open the folder can listen.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from compos.errors import RunError

__all__ = ["ENDS", "Link", "take_link", "take_links"]

ENDS = ("0", "1")
"""The sockets of both ends."""

MAX_SOCKET_PATH = 107
"""Bytes of a socket's name, without the zero at its end (unix(7))."""


@dataclass(frozen=True, slots=True)
class Link:
    """One end of a cable: frames for this guest come to the socket `own`, its own go to `other`.

    `lock` is a descriptor, for QEMU to inherit: the end is taken as long as it is open. `mac` is
    the address of the guest's card.
    """

    own: Path
    other: Path
    mac: str
    lock: int = -1

    def release(self) -> None:
        """Close this process's `lock`."""
        if self.lock >= 0:
            with suppress(OSError):
                os.close(self.lock)


def take_links(cards: Sequence[tuple[Path, str]]) -> tuple[Link, ...]:
    """An end for each folder and MAC address, or none at all. Raises as `take_link`."""
    links: list[Link] = []
    try:
        for folder, mac in cards:
            links.append(take_link(folder, mac))
    except BaseException:
        for link in links:
            link.release()
        raise
    return tuple(links)


def take_link(folder: Path, mac: str) -> Link:
    """The free end of the cable `folder`, which is made if need be. Raises `RunError`
    (`link-foreign`, `link-in-use`, `link-name`, `link-failed`)."""
    sockets = [folder.absolute() / end for end in ENDS]
    if len(os.fsencode(sockets[0])) > MAX_SOCKET_PATH:
        raise RunError(
            "link-name",
            f"the path of a link's sockets must not exceed {MAX_SOCKET_PATH} bytes",
            place=str(sockets[0]),
            hint="Use a shorter path, such as /run/user/1000/link.",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder)
        for own, other in (sockets, sockets[::-1]):
            lock = _lock(own.with_name(f"{own.name}.lock"))
            if lock is not None:
                return Link(own, other, mac, lock)
    except OSError as error:
        raise RunError(
            "link-failed", f"the link cannot be used: {error.strerror}", place=str(folder)
        ) from error
    raise RunError(
        "link-in-use",
        "the link connects two guests already",
        place=str(folder),
        hint="End one of them, or name another folder. A third guest needs a link of its own.",
    )


def _check_owner(folder: Path) -> None:
    """Who can write to it could read and send frames."""
    status = folder.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise RunError(
            "link-foreign",
            "other users can write to the link's folder",
            place=str(folder),
            hint="Name a folder that does not exist yet, or make it yours: chown, chmod go-w.",
        )


def _lock(path: Path) -> int | None:
    """The lock's descriptor, or None while another process has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
