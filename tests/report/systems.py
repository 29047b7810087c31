"""Reports of systems for tests: one whose every name is hostile, and a large one."""

from __future__ import annotations

from compos.compose.system import Kept
from compos.report.difference import Change, Difference, FileChange, SizeChange
from compos.report.document import Container, Report
from compos.report.facts import FileFact, Package, Powers
from compos.report.overview import Duplicate, ImageUse, Layer, Update
from compos.report.sizes import Part
from compos.report.timeline import Stage
from compos.tree.node import FILE

__all__ = ["HOSTILE", "hostile", "large"]

HOSTILE = (
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<!--<script>",
    "]]>&lt;b&gt;\u2028\u2029\u202e\x1b[31m\x00\udcff",
    '" onmouseover="window.pwned=1',
    "javascript:window.pwned=1",
    "${window.pwned=1}{{7*7}}",
    "https://example.invalid/picture.png",
)


def fact(size: int, part: str = "") -> FileFact:
    return FileFact(FILE, 0o644, 0, 0, size, "0" * 64, part=part)


def hostile() -> Report:
    """Every text is one of `HOSTILE`."""
    names = HOSTILE
    return Report(
        names[0],
        names[1],
        names[2],
        tuple(Part(name, name, 1, 10_000, 5_000) for name in names),
        {
            f"{name}/{other}": fact(1000 + 10 * number, part=name)
            for number, name in enumerate(names)
            for other in (*names, "plain")
        },
        tuple(ImageUse(name, name, (Layer(name, 7),), (name,)) for name in names),
        tuple(
            Container("services", name, name, ((other, name),))
            for name, other in zip(names, (*names[1:], names[0]), strict=True)
        ),
        tuple(
            Powers(name, name, (name,), (name,), (name,), name, True, False, 3, (name,), (name,))
            for name in names
        ),
        tuple(Package(name, name, name, (name,)) for name in names),
        tuple(Duplicate(7, 7, (name, name)) for name in names),
        tuple(Kept(name, 7, name) for name in names),
        tuple(Stage(name, 0.5, number + 1.0) for number, name in enumerate(names)),
        Difference(
            tuple(FileChange(name, 1, 2, (name,)) for name in names),
            tuple(Change(name, name, None) for name in names),
            tuple(SizeChange(name, 1, 2) for name in names),
            tuple(Change(name, name, name) for name in names),
            tuple(Change(name, None, name) for name in names),
            names,
        ),
        tuple(Update(name, name, name, name) for name in names),
    )


def large(count: int) -> Report:
    """A system of `count` services, each with fifty files."""
    names = [f"service-{number:04}" for number in range(count)]
    files = {
        f"containers/services/{name}/rootfs/usr/lib/{name}/file-{number}.so": fact(
            1000 + 37 * number + at, part=f"services[{name}]"
        )
        for at, name in enumerate(names)
        for number in range(50)
    }
    return Report(
        "large.yml",
        "amd64",
        "console=ttyS0",
        tuple(Part(f"services[{name}]", f"example.org/{name}:1", 50, 95_000, 40_000) for name in names),
        files,
        tuple(ImageUse(f"example.org/{name}:1", "sha256:" + "0" * 64, (Layer("d", 9),), (name,))
              for name in names),
        tuple(
            Container("services", name, f"example.org/{name}:1", ((names[at // 2], "healthy"),) if at else ())
            for at, name in enumerate(names)
        ),
        tuple(
            Powers(f"services[{name}]", f"{at}:{at}", ("CAP_CHOWN",), (), ("net",), "/x", True, True, 11, (), ())
            for at, name in enumerate(names)
        ),
        tuple(Package("deb", f"lib{name}", f"1.{at}-1", (f"example.org/{name}",))
              for at, name in enumerate(names)),
        tuple(Duplicate(size, size, (f"a{size}", f"b{size}")) for size in range(2000, 0, -1)),
        (),
        tuple(Stage(f"service {name} started", 3.0, 4 + at / 100) for at, name in enumerate(names)),
    )  # fmt: skip
