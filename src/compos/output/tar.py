"""`tar`: the whole root filesystem as one tar, the kernel under `boot/`, every member with where it came from."""

from __future__ import annotations

from compos.compose.system import System
from compos.filesystem.compress import Compression
from compos.filesystem.tar import tar_pieces
from compos.image.store import Store
from compos.output.write import Output

__all__ = ["root"]


def root(store: Store, system: System, compression: Compression) -> list[Output]:
    """`.tar`, uncompressed. Members carry LinuxKit's PAX records `LINUXKIT.source` and `LINUXKIT.location`."""
    entries = (
        (
            path,
            node,
            {"LINUXKIT.source": component.source, "LINUXKIT.location": component.location} if component.source else {},
        )
        for path, node, component in system.with_boot()
    )
    return [Output(".tar", tuple(tar_pieces(entries)))]
