"""Whose a store is: one that somebody else can write to can hold anything under any digest. Reads
the state of folders.

The rule is OpenSSH's for a home directory (sshd_config, StrictModes): the store, what matters in
it, and each folder above it belong to the user or to root, and nobody else can write to them; above
it, a sticky folder such as /tmp will do. A group that is only the user's own (of the same name,
without other members, and no access list) is the user.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from compos.errors import StoreError

__all__ = ["VARIABLE", "Exposed", "check_owner", "exposed", "trusted_anyway"]

VARIABLE = "COMPOS_TRUST_CACHE"


def trusted_anyway() -> bool:
    """Whether the user has said (`COMPOS_TRUST_CACHE=1`) that the store is to be used whoever can
    write to it."""
    return os.environ.get(VARIABLE, "").lower() in ("1", "true", "yes", "on")


class Exposed(NamedTuple):
    """A path that another user can change; `owner` is who, if it belongs to somebody else."""

    path: str
    owner: str = ""

    @property
    def reason(self) -> str:
        """How it can be changed, as a clause."""
        return f"it belongs to {self.owner}" if self.owner else "other users can write to it"


def check_owner(root: Path) -> None:
    """Raise `ImageError` (`store-foreign`, `store-writable`) when another user can change what is
    in the store `root`."""
    found = _first_exposed(_places(root))
    if found is not None:
        raise StoreError(
            "store-foreign" if found.owner else "store-writable",
            f"the image store is not safe to use: {found.reason}",
            place=found.path if found.path == str(root) else f"{root}: {found.path}",
            hint="Make it writable only for you (chown, chmod go-w), set COMPOS_CACHE to another "
            f"folder or, if nobody else uses this machine, set {VARIABLE}=1.",
        )


def exposed(path: Path) -> Exposed | None:
    """What another user can change of a file: itself, or a folder above it; None if nothing."""
    return _first_exposed(_ways(Path.cwd() / path))


def _first_exposed(places: Iterable[tuple[str, bool]]) -> Exposed | None:
    for path, inside in places:
        try:
            status = os.lstat(path)
        except OSError:
            continue
        if status.st_uid not in (0, os.geteuid()):
            return Exposed(path, _user(status.st_uid))
        if stat.S_ISLNK(status.st_mode):
            continue
        shared = status.st_mode & 0o002 or (status.st_mode & 0o020 and not _own_group(path, status))
        if shared and (inside or not status.st_mode & stat.S_ISVTX):
            return Exposed(path)
    return None


def _places(root: Path) -> Iterator[tuple[str, bool]]:
    """Paths to look at, and whether they are inside the store."""
    yield from _ways(Path.cwd() / root)
    # What lies in `debian` is verified whenever it is used.
    inside = [f"{root}/{name}" for name in ("index.json", "seals", "ingest", "blobs", "derived")]
    for folder in inside[-2:]:
        try:
            with os.scandir(folder) as entries:
                inside += [entry.path for entry in entries]
        except OSError:
            continue
    for path in inside:
        if os.path.islink(path):  # noqa: PTH114  a dozen of them in every run
            yield from _ways(Path.cwd() / path)
        else:
            yield path, True


def _ways(named: Path) -> Iterator[tuple[str, bool]]:
    """A path, where it leads, and all that is above both: a link is as good as a folder to whoever
    owns it."""
    real = Path(os.path.realpath(named))
    for above in dict.fromkeys((*named.parents, *real.parents)):
        yield str(above), False
    yield str(named), True
    yield str(real), True


def _own_group(path: str, status: os.stat_result) -> bool:
    """Whether the group is the user's own; the group's bits also show what an access list grants to
    others (acl(5))."""
    import grp
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
        group = grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    if group.gr_name != user or any(member != user for member in group.gr_mem):
        return False
    # Where lists cannot be read, one may grant anything.
    if not hasattr(os, "getxattr"):
        return False
    try:
        return not os.getxattr(path, "system.posix_acl_access")
    except OSError:
        return True


def _user(number: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(number).pw_name} (user {number})"
    except KeyError:
        return f"user {number}"
