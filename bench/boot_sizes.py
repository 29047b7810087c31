"""How large the systems of `make bench-boot` are, by kernel modules and compression.

`python bench/boot.py sizes` puts the table into docs/benchmarks-boot.md and leaves the rest of the
page as it is. `--compress max` takes minutes of processor time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

__all__ = ["BEGIN", "sizes"]

BEGIN = "## How large"

NAMED = "[virtio_pci, virtio_net, virtio_rng, af_packet, overlay]"

HEAD = f"""\
{BEGIN}

Kernel and initrd in MB. `auto` has the drivers of every cloud and hypervisor; the named modules are
those of a virtual machine with virtio: `modules: {NAMED}`.

| system | modules | kernel | initrd | both | both, `--compress max` |
|---|---|---|---|---|---|
"""

TAIL = """
The goals are 50 MB with containerd and 20 MB without. Left out are documentation, locales and
package databases, like everything that no recipe names; modules that no machine and no image asks
for; and all but one copy of large files that several images have, such as OpenSSL's and the C
library. There is a shell where scripts run (sysctl, dhcpcd), none in nginx's image.

Systems whose root has at most 48 MiB, as those without containerd, are compressed more: at zstd's
level 9 instead of 3. More than half of them is Debian's kernel for clouds, which is shipped as
Debian compresses it (zstd); a smaller one has to be built ([kernels.md](kernels.md)). The largest
parts of the other 9 MB, compressed, are OpenSSL for nginx and dhcpcd (2.6 MB), the modules that
`auto` adds (1.5 MB, of which 0.6 are for Mellanox's network cards), the C library (1.4), BusyBox
(1.0), nginx (0.6), and libsystemd, with which Debian's crun is linked (0.5).
"""

Measure = Callable[[str, str, bool], tuple[int, int]]
"""Of a system's name, its modules and whether to compress most: bytes of kernel and initrd."""


def _rows(titles: dict[str, str], measure: Measure) -> Iterator[str]:
    for name, title in titles.items():
        for modules, word in (("auto", "`auto`"), (NAMED, "named")):
            kernel, initrd = measure(name, modules, False)
            least = sum(measure(name, modules, True))
            figures = (kernel, initrd, kernel + initrd, least)
            cells = " | ".join(f"{figure / 1e6:.1f}" for figure in figures)
            yield f"| {title} | {word} | {cells} |\n"


def sizes(titles: dict[str, str], measure: Measure) -> str:
    """The section; `titles` of the systems by name."""
    return HEAD + "".join(_rows(titles, measure)) + TAIL
