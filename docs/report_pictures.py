"""Draws docs/report-map.svg and docs/report-boot.svg: what `compos report` shows of the web
example, as pictures for pages that run no script.

`python docs/report_pictures.py` draws them anew from docs/report-pictures.json; a test compares.
With YAML and the text of a guest's console it writes that file first:

    python docs/report_pictures.py examples/web.yml console.txt
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DATA = FOLDER / "report-pictures.json"
MAP, BOOT = FOLDER / "report-map.svg", FOLDER / "report-boot.svg"

WIDTH, HEIGHT, HEAD = 960, 420, 18
ROOM = 4000
"""Bytes of the map's data: some 100 tiles."""
LETTER = 6.6
"""Width of a letter of 11 px, about."""
STYLE = """<style>
text { font: 11px sans-serif; fill: #1f1f1f }
.t { fill: #f4f1ea; stroke: #b58a5a } .b { fill: #c9975c } .s { fill: #8a5a2b }
.g { stroke: #cfc6b8 }
@media (prefers-color-scheme: dark) {
text { fill: #e8e4dc } .t { fill: #2b2620; stroke: #8a6a44 } .b { fill: #8a5a2b }
.s { fill: #c9975c } .g { stroke: #4a4238 }
}
</style>"""

Box = tuple[float, float, float, float]
"""Left, top, width, height."""


def measured(source: str, console: str) -> dict[str, Any]:
    """What is drawn of a system and a boot of it."""
    from compos.api.report import ReportOptions, report
    from compos.report.map import map_of

    found = report([source], ReportOptions(console=Path(console)))
    sources = {one.location: one.source.rpartition("/")[2] for one in found.parts}
    return {
        "name": found.name,
        "map": map_of(found.files, sources, str, ROOM),
        "boot": [[stage.name, stage.start, stage.end] for stage in found.boot],
    }


def squarified(sizes: list[int], box: Box) -> list[Box]:
    """Boxes of these sizes, which fall, in one: rows whose boxes are as square as can be (Bruls,
    Huizing, van Wijk, "Squarified Treemaps")."""
    boxes: list[Box] = []
    left, top, width, height = box
    total = sum(sizes)
    at = 0
    while at < len(sizes) and total > 0:
        scale = width * height / total
        side = min(width, height)
        row = [sizes[at]]
        while at + len(row) < len(sizes):
            longer = [*row, sizes[at + len(row)]]
            if _worst(longer, side, scale) > _worst(row, side, scale):
                break
            row = longer
        depth = sum(row) * scale / side if side else 0
        place = 0.0
        for size in row:
            length = size / sum(row) * side
            if width >= height:
                boxes.append((left, top + place, depth, length))
            else:
                boxes.append((left + place, top, length, depth))
            place += length
        if width >= height:
            left, width = left + depth, width - depth
        else:
            top, height = top + depth, height - depth
        total -= sum(row)
        at += len(row)
    return boxes


def _worst(row: list[int], side: float, scale: float) -> float:
    """The ratio of the longest box's sides."""
    depth = sum(row) * scale / side
    lengths = [size * scale / depth for size in row]
    return max(max(depth / length, length / depth) for length in lengths)


def megabytes(size: int) -> str:
    """As people read it."""
    return f"{size / (1 << 20):.1f} MiB" if size >= 100_000 else f"{size // 1024} KiB"


def tiles(node: list[Any], box: Box, depth: int) -> Iterator[str]:
    """A folder's tile, and those in it."""
    left, top, width, height = box
    name, size = node[0] or "…", node[1]
    if len(name) * LETTER > width - 6:
        name = name.rpartition("/")[2]
    yield (
        f'<rect class="t" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )
    text = f"{name} {megabytes(size)}"
    if len(text) * LETTER > width - 6:
        text = name if len(name) * LETTER < width - 6 else ""
    if text and height > HEAD - 4:
        yield f'<text x="{left + 4:.1f}" y="{top + 12:.1f}">{escape(text)}</text>'
    children = node[2] if len(node) > 2 and isinstance(node[2], list) else []
    inner = (left + 3, top + HEAD, width - 6, height - HEAD - 3)
    if children and depth < 3 and inner[2] > 12 and inner[3] > 12:
        for child, place in zip(
            children, squarified([one[1] for one in children], inner), strict=False
        ):
            yield from tiles(child, place, depth + 1)


def drawn_map(data: dict[str, Any]) -> str:
    """The treemap."""
    whole = data["map"]
    title = f"What {data['name']} is made of: {megabytes(whole[1])} of files"
    boxes = squarified([one[1] for one in whole[2]], (0, HEAD + 4, WIDTH, HEIGHT - HEAD - 4))
    parts = [
        line
        for child, place in zip(whole[2], boxes, strict=True)
        for line in tiles(child, place, 1)
    ]
    return _picture(title, HEIGHT, parts)


def drawn_boot(data: dict[str, Any]) -> str:
    """The timeline."""
    stages = data["boot"]
    end = max(stage[2] for stage in stages)
    scale = (WIDTH - 420) / end
    height = 40 + 18 * len(stages)
    parts = []
    for second in range(0, int(end) + 1, max(1, round(end / 8))):
        x = 270 + second * scale
        parts.append(f'<path class="g" d="M{x:.1f} 24V{height - 14}"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{height - 2}">{second} s</text>')
    for number, (name, start, stop) in enumerate(stages):
        top = 26 + 18 * number
        kind = "s" if name.startswith("service ") else "b"
        width = max((stop - start) * scale, 1)
        parts.append(f'<text x="4" y="{top + 12}">{escape(name)}</text>')
        parts.append(
            f'<rect class="{kind}" x="{270 + start * scale:.1f}" y="{top + 2}" '
            f'width="{width:.1f}" height="13"/>'
        )
        x = 274 + start * scale + width
        parts.append(f'<text x="{x:.1f}" y="{top + 12}">{stop - start:.2f} s</text>')
    return _picture(f"A boot of {data['name']}: {end:.1f} s", height, parts)


def _picture(title: str, height: int, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n{STYLE}\n"
        f'<text x="4" y="14" style="font-weight:bold">{escape(title)}</text>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def pictures() -> dict[Path, str]:
    """The files with their contents."""
    data = json.loads(DATA.read_text())
    return {MAP: drawn_map(data), BOOT: drawn_boot(data)}


if __name__ == "__main__":
    if len(sys.argv) == 3:
        DATA.write_text(json.dumps(measured(*sys.argv[1:]), indent=1) + "\n")
    for path, text in pictures().items():
        path.write_text(text)
