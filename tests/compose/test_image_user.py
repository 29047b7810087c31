"""A Dockerfile's USER, which containers do not get: reported, in every build, until somebody says
which user it is to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.images import Member, make_image


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(
    folder: Path, user: object, entry: str, capsys: pytest.CaptureFixture[str], label: str = ""
) -> str:
    labels = {"org.mobyproject.config": label} if label else {}
    make_image(
        Store(folder / "store"),
        "a:1",
        [[Member("x")]],
        {"Cmd": ["/x"], "User": user, "Labels": labels},
    )
    (folder / "os.yml").write_text(f"services: [{{name: web, image: 'a:1'{entry}}}]\n")
    assert (
        main(
            [
                "build",
                "--cache",
                str(folder / "store"),
                "-f",
                "tar",
                "--no-sbom",
                str(folder / "os.yml"),
            ]
        )
        == 0
    )
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("user", "hint"),
    [
        ("nginx", "write `uid` with its number"),
        ("1000", "to change this, write `uid: 1000`"),
        ("1000:50", "to change this, write `uid: 1000` and `gid: 50`"),
        ("1000:users", "to change this, write `uid: 1000`"),
        (1000, "to change this, write `uid: 1000`"),
        ("a\nb\x1b", r"'a\nb\x1b'"),
    ],
)
def test_reported(
    folder: Path, capsys: pytest.CaptureFixture[str], user: object, hint: str
) -> None:
    for _ in ("composed", "from the store"):
        text = said(folder, user, "", capsys)
        assert "services[web] runs as root, not as the image's user" in text
        assert hint in text


@pytest.mark.parametrize(
    ("user", "entry", "label"),
    [
        ("", "", ""),
        ("root", "", ""),
        ("0:0", "", ""),
        ("nginx", ", uid: 0", ""),
        ("nginx", ", uid: 33", ""),
        ("nginx", "", '{"uid": 33}'),
    ],
)
def test_nothing_to_report(
    folder: Path, capsys: pytest.CaptureFixture[str], user: str, entry: str, label: str
) -> None:
    assert "image's user" not in said(folder, user, entry, capsys, label)
