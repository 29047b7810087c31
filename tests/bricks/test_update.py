"""The brick update: versions in the order that semver.org gives, and which of them the handler lets
RAUC install."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_brick

ORDER = (
    # Items 11.2, 11.3 and 11.4 of the specification, with their examples.
    *("0.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"),
    *("1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2", "1.10.0", "2.0.0", "2.1.0", "2.1.1"),
    *("2026.11.29", "2026.12.1"),
)


def asked(*lines: str) -> list[str]:

    program = compile_brick("update", driver="version")
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_order() -> None:
    pairs = [(one, other) for one in range(len(ORDER)) for other in range(len(ORDER))]
    found = asked(*(f"{ORDER[one]} {ORDER[other]}" for one, other in pairs))
    assert found == [str((one > other) - (one < other)) for one, other in pairs]


def test_builds_are_equal_and_numbers_may_be_missing() -> None:
    assert asked("1.0.0+a 1.0.0+b", "1 1.0.0", "1-a 1.0.0-a+7", "1.0.0-00 1.0.0-0") == ["0"] * 4


def test_what_is_a_version() -> None:
    """As the YAML has it (compos.config.update_keys)."""
    assert asked(*ORDER, "1.0.0-a-b.c+d.e") == ["1"] * (len(ORDER) + 1)
    wrong = ["", "v1", "1.", "1.02", "1.0.0.0", "1-", "1+", "1-a.", "1-a_b", "9999999999"]
    wrong += ["1" + ".0" * 40, "1-" + "a" * 80, "1\xff", "-1"]
    assert asked(*wrong) == ["0"] * len(wrong)


SLOT = """#!/bin/sh
case $1 in
get-current) echo A;;
get-primary) echo ${NEXT:-A};;
get-version) echo ${WRITTEN:-1.3.0};;
get-failures) echo ${FAILURES:-0};;
set-version) echo "slot $2 has $3" >&2;;
esac
"""
"""What the handler asks, answered by variables."""

UNASKED = {"UPDATE_NEWER": "1", "WRITTEN": "1.4.1"}


@pytest.mark.root
@pytest.mark.parametrize(
    ("bundle", "more", "reason"),
    [
        ("version\t1.4.0\n", {}, ""),
        ("version\t1.4.1\n", {}, ""),
        ("version\t1.3.9\n", {}, "the update is older: 1.3.9"),
        ("version\t1.4.0-rc.1\n", {}, "the update is older"),
        ("version\t1.3.9\ndowngrade\tyes\n", {}, ""),
        ("version\t1.3.9\ndowngrade\n", {}, "the update is older"),
        ("version\t1.4.0\n", {"UPDATE_NEWER": "1"}, "it is this version already: 1.4.0"),
        ("version\t1.4.1\n", {"UPDATE_NEWER": "1"}, ""),
        ("version\t1.4.1\n", {**UNASKED, "FAILURES": "2"}, ""),
        ("version\t1.4.1\n", {**UNASKED, "FAILURES": "3"}, "its trials have failed: 1.4.1"),
        ("version\t1.4.1\n", {"WRITTEN": "1.4.1", "FAILURES": "3"}, ""),
        ("version\t1.4.2\n", {**UNASKED, "FAILURES": "3"}, ""),
        ("version\t1.4.1\n", {**UNASKED, "NEXT": "B"}, "it is tried at the next start: 1.4.1"),
        ("version\t1.4.2\n", {**UNASKED, "NEXT": "B"}, ""),
        ("version\tlatest\n", {}, "has no version"),
        ("downgrade\tyes\n", {}, "has no version"),
        ("", {}, "has no version"),
        ("version\t" + "1" * 10_000, {}, "has no version"),
        (None, {}, "No such file"),
    ],
)
def test_what_may_be_installed(
    bundle: str | None, more: dict[str, str], reason: str, tmp_path: Path
) -> None:
    terms, mounted = tmp_path / "terms", tmp_path / "bundle"
    terms.write_text("version\t1.4.0\nsource\thttps://updates.example/os.raucb\n")
    mounted.mkdir()
    if bundle is not None:
        (mounted / "terms").write_text(bundle)
    handler = tmp_path / "update-check"
    handler.symlink_to(compile_brick("update"))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "slot").write_text(SLOT)
    (programs / "slot").chmod(0o755)
    script = f"mount -t overlay -o lowerdir={programs}:/usr/bin none /usr/bin && "
    script += "mount -t tmpfs none /etc && mkdir /etc/update && cp $0 /etc/update/ && exec $1"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, str(terms), str(handler)],
        env={"PATH": "/usr/bin:/bin", "RAUC_BUNDLE_MOUNT_POINT": str(mounted), **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is (not reason), done.stderr
    assert reason in done.stderr
    assert ("slot B has 1." in done.stderr) is (not reason), "recorded before it is written"
