"""`tar`: the whole root filesystem as one tar, the kernel under `boot/`, every member with where it
came from.

`docker` is the same with a Dockerfile. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from compos.filesystem.tar import TarEntry, tar_pieces
from compos.output.job import Job
from compos.output.write import Output
from compos.tree.node import EPOCH, file
from compos.tree.packed import packed

__all__ = ["docker", "root"]


DOCKERFILE = b"""\
FROM scratch
COPY . ./
ENTRYPOINT ["/bin/rc.init"]
"""


def root(job: Job) -> list[Output]:
    """`.tar`, uncompressed. Members carry LinuxKit's PAX records `LINUXKIT.source` and
    `LINUXKIT.location`."""
    return [Output(".tar", packed(tar_pieces(_entries(job))))]


def docker(job: Job) -> list[Output]:
    """`.docker`: the root and a Dockerfile, for `docker build -`."""
    extra: TarEntry = ("Dockerfile", file(DOCKERFILE, 0o644, EPOCH), {})
    entries = sorted(
        (*(entry for entry in _entries(job) if entry[0] != "Dockerfile"), extra),
        key=lambda entry: entry[0],
    )
    return [Output(".docker", packed(tar_pieces(entries)))]


def _entries(job: Job) -> Iterator[TarEntry]:
    @cache
    def records(source: str, location: str) -> dict[str, str]:
        # One mapping for all nodes of a component, not one for each.
        return {"LINUXKIT.source": source, "LINUXKIT.location": location} if source else {}

    for path, node, component in job.system.with_boot():
        yield path, node, records(component.source, component.location)
