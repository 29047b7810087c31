"""Scripts of init images that want an interpreter which is not there are reported, with what would
help."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.images import Member, make_image

PLANNED = {"Labels": {"org.compos.init.plan": "1"}}
SHELL = [
    Member("bin/busybox", mode=0o755, content="x"),
    Member("bin/sh", "symlink", content="busybox"),
]
ENV = [*SHELL, Member("usr/bin/env", mode=0o755, content="x")]
LOOP = [Member("bin/sh", "symlink", content="ash"), Member("bin/ash", "symlink", content="sh")]
MERGED = [
    Member("bin", "symlink", content="usr/bin"),
    Member("usr/bin/dash", mode=0o755, content="x"),
    Member("usr/bin/sh", "symlink", content="/bin/dash"),
]


def said(
    folder: Path,
    script: str,
    others: list[Member],
    *,
    name: str = "002-logging",
    planned: bool = True,
) -> str:
    store = Store(folder / "store")
    make_image(
        store, "example.org/init:1", [[Member("init", mode=0o755)]], PLANNED if planned else {}
    )
    make_image(
        store,
        "example.org/mem:1",
        [[Member(f"etc/init.d/{name}", mode=0o755, content=script), *others]],
        {},
    )
    (folder / "os.yml").write_text("init: ['example.org/init:1', 'example.org/mem:1']\n")
    out = str(folder / "os.tar")
    assert (
        main(["build", "--cache", str(store.root), "--no-sbom", "--o", out, str(folder / "os.yml")])
        == 0
    )
    return out


@pytest.mark.parametrize(
    ("script", "others", "wants"),
    [
        ("#!/bin/sh\necho x\n", [], "/bin/sh"),
        ("#! /bin/sh -e\n", LOOP, "/bin/sh"),
        ("#!/usr/bin/env python3", SHELL, "/usr/bin/env"),
        ("#!/usr/bin/env python3", ENV, "python3"),
        ("#!/usr/bin/env -S python3 -u", ENV, "python3"),
        ("#!/usr/bin/env sh\n", ENV, ""),
        ("#!/usr/bin/env -i A=b sh\n", ENV, ""),
        ("#!/bin/sh", [Member("bin/sh", "dir", 0o755)], "/bin/sh"),
        ("#!/bin/sh\n", SHELL, ""),
        ("#!/bin/sh\n", MERGED, ""),
        ("\x7fELF", [], ""),
    ],
)
def test_interpreters(
    tmp_path: Path,
    script: str,
    others: list[Member],
    wants: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said(tmp_path, script, others)
    error = capsys.readouterr().err
    assert (
        f"etc/init.d/002-logging of example.org/mem:1 cannot run: its interpreter {wants} " in error
    ) == bool(wants)
    assert ("cannot run" in error) == bool(wants)


SCRIPT = "etc/init.d/001-x"


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([Member(SCRIPT, mode=0o755)], "neither a program nor a script"),
        ([Member(SCRIPT, mode=0o755, content="#!\n")], "neither a program nor a script"),
        ([Member(SCRIPT, mode=0o755, content="echo x\n")], "neither a program nor a script"),
        ([Member(SCRIPT, mode=0o644, content="#!/bin/sh\n"), *SHELL], "it is not executable"),
        (
            [Member(SCRIPT, mode=0o755, content="#!/bin/sh\r\n"), *SHELL],
            "its lines end in CR and LF",
        ),
        (
            [Member(SCRIPT, "symlink", content="/nowhere")],
            "it is a link to a file that is not in the system",
        ),
        (
            [Member(SCRIPT, "symlink", content="001-x")],
            "it is a link to a file that is not in the system",
        ),
        (
            [Member(SCRIPT, "symlink", content="../../bin/busybox"), *SHELL],
            "neither a program nor a script",
        ),
        (
            [
                Member(SCRIPT, "symlink", content="/bin/x"),
                Member("bin/x", mode=0o755, content="\x7fELF"),
            ],
            "",
        ),
        (
            [Member(SCRIPT, mode=0o755, content="#!/opt/perl\n")],
            "Add an image that contains it to `init`",
        ),
        ([Member(SCRIPT, mode=0o755, content="#!/bin/sh\n")], "Add compos/busybox:v1 to `init`"),
        (
            [Member("etc/shutdown.d/x", mode=0o755, content="#!/bin/sh\n")],
            "Add compos/busybox:v1 to `init`",
        ),
    ],
)
def test_what_cannot_run(
    tmp_path: Path, members: list[Member], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said(tmp_path, "\x7fELF", members)
    error = capsys.readouterr().err
    assert why in error
    assert error.count("cannot run: ") == bool(why)


@pytest.mark.parametrize(("name", "planned"), [("010-onboot", True), ("002-logging", False)])
def test_scripts_that_our_init_does_not_run(
    tmp_path: Path, name: str, planned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    said(tmp_path, "#!/bin/sh\n", [], name=name, planned=planned)
    assert "cannot run" not in capsys.readouterr().err
