"""Draws docs/compose.svg: how a system is composed. `python docs/picture.py` writes it anew; a test
compares."""

from __future__ import annotations

from pathlib import Path

TARGET = Path(__file__).with_name("compose.svg")

STEPS = (
    ("os.yml", ("kernel", "init", "onboot", "services", "onshutdown", "files")),
    ("images", ("from any registry", "from Debian packages", "verified, in one store")),
    ("trees", ("one per component", "contents are slices", "later ones win")),
    ("outputs", ("kernel + initrd", "tar", "same bytes every time")),
    ("machine", ("init carries out a plan", "onboot in order", "services in parallel")),
)
FONT = 'font-family="sans-serif" font-size="13"'
WIDTH, HEIGHT, GAP, TOP = 168, 160, 34, 20


def box(index: int, title: str, lines: tuple[str, ...]) -> str:
    """One step: a titled box with its lines."""
    left = 10 + index * (WIDTH + GAP)
    parts = [
        (
            f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#f4f1ea" '
            'stroke="#8a5a2b"/>'
        ),
        f'<rect x="{left}" y="{TOP}" width="{WIDTH}" height="30" rx="8" fill="#b5651d"/>',
        (
            f'<text x="{left + WIDTH / 2:g}" y="{TOP + 20}" text-anchor="middle" fill="#fff" '
            f'font-weight="bold">{title}</text>'
        ),
    ]
    parts += [
        f'<text x="{left + 12}" y="{TOP + 52 + 18 * number}" fill="#333">{line}</text>'
        for number, line in enumerate(lines)
    ]
    return "\n".join(parts)


def arrow(index: int) -> str:
    """From one step to the next."""
    left = 10 + index * (WIDTH + GAP) + WIDTH + 5
    middle = TOP + HEIGHT // 2
    return (
        f'<path d="M{left} {middle}h{GAP - 16}" stroke="#8a5a2b" stroke-width="2"/>'
        f'<path d="M{left + GAP - 18} {middle - 6}l10 6l-10 6z" fill="#8a5a2b"/>'
    )


def picture() -> str:
    """The whole picture."""
    width = 20 + len(STEPS) * WIDTH + (len(STEPS) - 1) * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT + 2 * TOP}" {FONT}>',
        "<title>One YAML file becomes a bootable system</title>",
        *(box(index, *step) for index, step in enumerate(STEPS)),
        *(arrow(index) for index in range(len(STEPS) - 1)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(picture())
