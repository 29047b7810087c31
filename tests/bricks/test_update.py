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
get-state) [ "$2" = A ] && echo ${STATE:-good} || echo bad;;
set-version) echo "slot $2 has $3" >&2;;
esac
"""
"""What the handler asks, answered by variables."""

UNASKED = {"UPDATE_NEWER": "1", "WRITTEN": "1.4.1"}


Done = subprocess.CompletedProcess[str]


def within(folder: Path, terms: str, command: str, more: dict[str, str]) -> Done:
    """Runs a command where the machine's terms, the program for slots and the data partition are
    this test's."""
    programs, data = folder / "bin", folder / "data"
    for one in (programs, data):
        one.mkdir(exist_ok=True)
    (folder / "terms").write_text(terms)
    (programs / "slot").write_text(SLOT)
    (programs / "slot").chmod(0o755)
    script = f"mount -t overlay -o lowerdir={programs}:/usr/bin none /usr/bin && "
    script += "mount -t tmpfs none /etc && mkdir /etc/update && cp $0 /etc/update/ && "
    script += f"mount --bind {data} /srv && exec $1 $2"
    program = compile_brick("update")
    (folder / "update-check").unlink(missing_ok=True)
    (folder / "update-check").symlink_to(program)
    start = program if command else folder / "update-check"
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, folder / "terms", start, command],
        env={"PATH": "/usr/bin:/bin", **more},
        capture_output=True,
        text=True,
        check=False,
    )


def handled(folder: Path, terms: str, bundle: str | None, more: dict[str, str]) -> Done:
    """What RAUC's handler says of a bundle with these terms."""
    mounted = folder / "bundle"
    mounted.mkdir(exist_ok=True)
    (mounted / "terms").unlink(missing_ok=True)
    if bundle is not None:
        (mounted / "terms").write_text(bundle)
    return within(folder, terms, "", {"RAUC_BUNDLE_MOUNT_POINT": str(mounted), **more})


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
        ("version\t1.4.1\n", {"STATE": "bad"}, "what this one on trial may go back to: 1.4.1"),
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
    done = handled(
        tmp_path, "version\t1.4.0\nsource\thttps://updates.example/os.raucb\n", bundle, more
    )
    assert (done.returncode == 0) is (not reason), done.stderr
    assert reason in done.stderr
    assert ("slot B has 1." in done.stderr) is (not reason), "recorded before it is written"


OWN = "version\t1.4.0\nreads\t1 2\nwrites\t1\n"
RECORD = ".compos-data-versions"


def record(folder: Path, *lines: str) -> None:
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / RECORD).write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.root
@pytest.mark.parametrize(
    ("lines", "bundle", "reason"),
    [
        ((), "reads\t1 2\nwrites\t1\n", ""),
        ((), "reads\t1 2\nwrites\t2\n", ""),
        ((), "", ""),
        ((), "reads\t2 3\nwrites\t2\n", "cannot read the data, which has version 1"),
        (("data 2",), "reads\t2 3\nwrites\t2\n", ""),
        (("data 2",), "", "cannot read the data, which has version 2"),
        (("data 2",), "reads\t2 3\nwrites\t3\n", "which this one could not read if it had to"),
        (("data 2",), "reads\t2 3\nwrites\t3\none-way\tyes\n", ""),
        (("data 2",), "reads\t3\nwrites\t3\none-way\tyes\n", "cannot read the data"),
        (("data x",), "", ""),
        (("data 2 3",), "", ""),
        ((), "reads\t\nwrites\t1\n", "wrong versions of data"),
        ((), "reads\t1\nwrites\t1 2\n", "wrong versions of data"),
        ((), "reads\t1,2\nwrites\t1\n", "wrong versions of data"),
        ((), "reads\t" + "1 " * 17 + "\nwrites\t1\n", "wrong versions of data"),
        ((), "reads\t99999999999999999999\n", "wrong versions of data"),
    ],
)
def test_data_that_an_update_must_read(
    lines: tuple[str, ...], bundle: str, reason: str, tmp_path: Path
) -> None:
    record(tmp_path, *lines)
    done = handled(tmp_path, OWN, f"version\t1.5.0\n{bundle}", {})
    assert (done.returncode == 0) is (not reason), done.stderr
    assert reason in done.stderr
    assert ("slot B has" in done.stderr) is (not reason)


@pytest.mark.root
def test_data_from_version_to_version(tmp_path: Path) -> None:
    """What each version can read is remembered, and what has been written stays written."""
    folder = tmp_path / "data" / RECORD
    assert within(tmp_path, OWN, "data", {}).returncode == 0
    assert folder.read_text() == "data 1\n1.4.0 1 2\n"
    new = "version\t1.5.0\nreads\t2 1\nwrites\t2\n"
    assert handled(tmp_path, OWN, new, {}).returncode == 0
    assert folder.read_text() == "data 1\n1.4.0 1 2\n1.5.0 2 1\n"
    assert within(tmp_path, new, "data", {}).returncode == 0
    assert folder.read_text() == "data 2\n1.4.0 1 2\n1.5.0 2 1\n"
    assert within(tmp_path, new, "back", {"WRITTEN": "1.4.0"}).returncode == 0
    back = within(tmp_path, new, "back", {"WRITTEN": "1.3.0"})
    assert back.returncode == 1
    assert "version 1.3.0 cannot read the data, which has version 2" in back.stderr
    assert within(tmp_path, OWN, "data", {}).returncode == 0
    assert folder.read_text().startswith("data 2\n")
    done = within(tmp_path, "version\t1.3.0\nreads\t1\nwrites\t1\n", "data", {})
    assert (done.returncode, "cannot read the data" in done.stderr) == (1, True)
    assert folder.read_text().startswith("data 2\n")


@pytest.mark.root
def test_what_is_remembered_has_an_end(tmp_path: Path) -> None:
    record(tmp_path, "data 1", *(f"1.0.{number} 1" for number in range(100)))
    assert within(tmp_path, OWN, "data", {}).returncode == 0
    lines = (tmp_path / "data" / RECORD).read_text().splitlines()
    assert lines[0] == "data 1"
    assert lines[-2:] == ["1.0.99 1", "1.4.0 1 2"]
    assert len(lines) < 40


@pytest.mark.root
def test_an_update_that_is_not_the_one_that_is_rolled_out(tmp_path: Path) -> None:
    only = {"UPDATE_NEWER": "1", "UPDATE_ONLY": "1.4.1"}
    assert handled(tmp_path, OWN, "version\t1.4.1\n", only).returncode == 0
    done = handled(tmp_path, OWN, "version\t1.4.2\n", only)
    assert "another version is being rolled out: 1.4.1" in done.stderr
