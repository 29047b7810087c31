"""Image references: how a name in the YAML is read, written canonically, and turned into a place to
ask.

Pure text; touches nothing. The rules are those of LinuxKit (reference `yaml-and-build.md` section
5.1) with the grammar of the OCI distribution specification ("Pulling manifests") for repositories,
tags and digests.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

from compos.errors import ImageError

__all__ = ["HUB", "HUB_HOSTS", "LOCAL_IMAGES", "NAMESPACE", "Reference", "is_local", "is_reserved"]

LOCAL_IMAGES = ("oci:", "oci-archive:", "docker-archive:")
"""Begin the names of images in folders and files of this machine."""

HUB = "docker.io"
"""The registry of names without a host."""

HUB_HOSTS = (f"index.{HUB}", f"registry-1.{HUB}")
"""Where the registry `HUB` really answers; the first one is asked."""

NAMESPACE = "compos"
"""Names that begin with it, and name no registry or the public one, stand for our bricks."""

_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)
_PATH = re.compile(r"[a-z0-9_.-]+(?:/[a-z0-9_.-]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def is_local(text: str) -> bool:
    """Whether a name means an image in a folder or file of this machine: `oci:FOLDER` and the like,
    no reference at all."""
    return text.startswith(LOCAL_IMAGES)


def is_reserved(reference: Reference) -> bool:
    """Whether a name is one of our bricks', shipped or not: below `compos/`, on the public registry
    or on none."""
    if reference.domain in (HUB, *HUB_HOSTS):
        return reference.path.startswith(f"{NAMESPACE}/")
    # Of `compos/a/b` the first component is read as a host that it cannot be: `HUB` would be asked.
    return reference.domain == NAMESPACE


class Reference(NamedTuple):
    """A parsed image name; `str()` gives the canonical string, under which the store keeps the
    image.

    `tag` and `digest` are empty when the name has none: no default tag is added (section 5.1, rule
    2).
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as users write it; raises `ImageError` (`image-reference`) when it cannot
        name an image."""
        name, at, digest = text.partition("@")
        if at and not _DIGEST.fullmatch(digest):
            raise _nonsense(text, "a digest must be sha256: and 64 hexadecimal digits")
        last = name.rpartition("/")[2]
        tag = ""
        # A colon in the first component of several belongs to a port, not to a tag.
        if ":" in last:
            name, _, tag = name.rpartition(":")
            if not _TAG.fullmatch(tag):
                raise _nonsense(
                    text,
                    f"the tag {tag!r} does not consist of 1 to 128 letters, digits, '_', '.' and "
                    "'-'",
                )
        domain, path = _split(name)
        if not _DOMAIN.fullmatch(domain):
            raise _nonsense(text, f"{domain!r} is not a host name")
        if not 2 <= len(path) <= 255 or not _PATH.fullmatch(path) or ".." in path.split("/"):
            raise _nonsense(
                text,
                "a repository must be 2 to 255 lower-case letters, digits, '_', '-', '.' and '/'",
            )
        return cls(domain, path, tag, digest)

    @classmethod
    def find(cls, text: str) -> Reference | None:
        """As `parse`; None for an image of this machine, and for what cannot name an image."""
        if is_local(text):
            return None
        with suppress(ImageError):
            return cls.parse(text)
        return None

    @property
    def version(self) -> str:
        """What a registry is asked for: the digest, else the tag, else `latest` (rule 3)."""
        return self.digest or self.tag or "latest"

    @property
    def origin(self) -> tuple[str, str]:
        """Host to contact and repository to name there (rule 4).

        A first component that cannot be a host (`a/b/c`) is part of a repository of `HUB`.
        `localhost/x` is the local host here; LinuxKit normalises it as a host and then asks `HUB`.
        """
        if self.domain in (HUB, *HUB_HOSTS):
            host = HUB_HOSTS[0] if self.domain == HUB else self.domain
            return host, self.path if "/" in self.path else f"library/{self.path}"
        if _is_host(self.domain):
            return self.domain, self.path
        return HUB_HOSTS[0], f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.domain}/{self.path}{tag}{digest}"


def _split(name: str) -> tuple[str, str]:
    """Domain and cleaned path of a name without tag and digest (rule 1)."""
    parts = name.split("/")
    if len(parts) == 1:
        return HUB, f"library/{name}" if name not in ("", ".", "..") else ""
    domain = parts.pop(0)
    path = [part for part in parts if part not in ("", ".")]
    if len(parts) == 1 and not _is_host(domain):
        return HUB, "/".join((domain, *path))
    return domain, "/".join(path)


def _is_host(component: str) -> bool:
    return "." in component or ":" in component or component == "localhost"


def _nonsense(text: str, why: str) -> ImageError:
    return ImageError(
        "image-reference",
        f"invalid image name: {why}",
        place=text or '""',
        hint="Write it as [HOST[:PORT]/]REPOSITORY[:TAG][@sha256:DIGEST].",
    )
