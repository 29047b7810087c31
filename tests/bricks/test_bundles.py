"""What a container's specification gets from init before a runtime sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compos.compose.plan import MAX_PLAN, MAX_SPECIFICATION
from tests.bricks.compiler import SOURCES
from tests.bricks.drivers import Run

SPEC = '{"ociVersion":"1.2","root":{"path":"rootfs","readonly":true},"x":"\xe4"}'
OFFSET = SPEC.index('"rootfs"')

MISFITS = [
    (OFFSET + 1, 8),
    (OFFSET, 7),
    (OFFSET, 9),
    (OFFSET, 10**18),
    (10**18, 8),
    (2**64 - 1, 2),
    (OFFSET, 0),
    (OFFSET, 1),
    (OFFSET - 7, 15),
    ("x", 8),
    (OFFSET, "-1"),
    ("", ""),
]


def test_a_spec_gets_the_absolute_root_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(SPEC)
    expected = SPEC.replace('"rootfs"', f'"{tmp_path}/rootfs"')
    assert run("spec", tmp_path, str(OFFSET), "8") == expected


@pytest.mark.parametrize("misfit", MISFITS, ids=map(str, MISFITS))
def test_a_root_path_elsewhere_is_refused(
    misfit: tuple[object, object], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(SPEC)
    output = run("spec", tmp_path, *map(str, misfit))
    assert output == f"error the plan's rootpath does not fit {tmp_path}/config.json\n"


LINUX = '{"root":{"path":"rootfs"},"linux":{"resources":{}}}'


def test_a_spec_gets_the_profile_that_it_shares(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(LINUX)
    profile = tmp_path / "profile.json"
    profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}\n')
    place = ("8", str(LINUX.index('"resources"')), profile)
    whole = json.loads(run("spec", tmp_path, str(LINUX.index('"rootfs"')), *place))
    assert whole == {
        "root": {"path": f"{tmp_path}/rootfs"},
        "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "resources": {}},
    }


@pytest.mark.parametrize("offset", [0, 1, LINUX.index('"rootfs"') + 8, len(LINUX), 10**18])
def test_a_profile_elsewhere_is_refused(offset: int, run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(LINUX)
    (tmp_path / "profile").write_text("{}")
    output = run(
        "spec", tmp_path, str(LINUX.index('"rootfs"')), "8", str(offset), tmp_path / "profile"
    )
    assert output == f"error the plan's seccomp does not fit {tmp_path}/config.json\n"


def test_a_container_without_its_profile_does_not_start(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(LINUX)
    arguments = (tmp_path, str(LINUX.index('"rootfs"')), "8")
    assert "No such file" in run(
        "spec", *arguments, str(LINUX.index('"resources"')), tmp_path / "none"
    )
    assert "not an offset" in run("spec", *arguments, "x", tmp_path / "none")


def test_the_longest_specification(run: Run, tmp_path: Path) -> None:
    """The build refuses what is longer: the limits are one."""
    assert (
        f"MAX_SPEC = {MAX_SPECIFICATION >> 10} * 1024"
        in (SOURCES / "containers/spec.h").read_text()
    )
    assert "MAX_PLAN = 16 << 20" in (SOURCES / "main.c").read_text()
    assert MAX_PLAN == 16 << 20
    (tmp_path / "profile").write_text("{}")
    more = len(f"{tmp_path}/rootfs") - len("rootfs") + len('"seccomp":{},')
    place = (
        str(LINUX.index('"rootfs"')),
        "8",
        str(LINUX.index('"resources"')),
        tmp_path / "profile",
    )
    for size, fits in ((MAX_SPECIFICATION - more, True), (MAX_SPECIFICATION - more + 1, False)):
        (tmp_path / "config.json").write_text(LINUX.ljust(size))
        output = run("spec", tmp_path, *place)
        assert len(output) == MAX_SPECIFICATION if fits else "bytes with its profile" in output
    (tmp_path / "config.json").write_text(LINUX.ljust(MAX_SPECIFICATION + 1))
    assert run("spec", tmp_path, *place).endswith(
        f"config.json is longer than {MAX_SPECIFICATION} bytes\n"
    )


def test_bad_bundles(run: Run, tmp_path: Path) -> None:
    quote = tmp_path / 'a"b'
    quote.mkdir()
    (quote / "config.json").write_text(SPEC)
    assert "cannot be written to JSON" in run("spec", quote, str(OFFSET), "8")
    assert "No such file" in run("spec", tmp_path, str(OFFSET), "8")
    assert "must be absolute" in run("spec", "relative", str(OFFSET), "8")
    assert "shorter than" in run("spec", "/" + "a" * 600, str(OFFSET), "8")
