"""What the build writes into the plan, init reads back the same; what it could not read, the build
refuses."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.compose.container import Bundle
from compos.compose.plan import HEADER, boot_plan
from compos.compose.plan_lines import MAX_LINE, PlanError, plan_fields, plan_line
from compos.compose.plan_words import WORDS
from compos.errors import ConfigError
from tests.bricks.compiler import compile_driver

SCRIPT = Path(__file__).parents[2] / "docs" / "plan_format.py"


@pytest.fixture(scope="module")
def reader() -> Path:
    return compile_driver("plan", parts=("boot/plan", "base/files"))


def read(reader: Path, plan: bytes, folder: Path) -> bytes:
    (folder / "plan").write_bytes(plan)
    return subprocess.run(
        [reader, folder / "plan"], capture_output=True, check=True, timeout=30
    ).stdout


def test_both_sides_know_the_same_words() -> None:
    made = runpy.run_path(str(SCRIPT))
    is_current = made["HEADER"].read_text() == made["header"]()
    assert is_current, "plan_words.h is outdated: run .venv/bin/python docs/plan_format.py"
    most = max(len(word.fields) for word in WORDS.values())
    limits = f"PLAN_ARGUMENTS = {most}, PLAN_LINE_MAXIMUM = {MAX_LINE}"
    assert limits in made["HEADER"].with_name("plan.h").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["outside", "inside"])
def test_init_takes_a_word_where_it_may_stand(reader: Path, tmp_path: Path, place: str) -> None:
    before = HEADER + b"stage\tservices\n"
    if place == "inside":
        before += b"container\ta\t/b\t\n"
    refused, field = set(), "\tx"
    for word in WORDS.values():
        line = f"{word.name}{field * len(word.fields)}\n".encode()
        if b"problem" in read(reader, before + line, tmp_path):
            refused.add(word.name)
    # A word of the stage ends the container before it; no stage is called x.
    only_inside = {word.name for word in WORDS.values() if not word.outside}
    assert refused == {"stage"} | (only_inside if place == "outside" else set())


INSIDE = sorted(word.name for word in WORDS.values() if word.inside)
FIELD = (
    st.binary(max_size=30)
    .filter(lambda field: b"\0" not in field)
    .map(lambda field: field.decode("utf-8", "surrogateescape"))
)
FREE = [word for word in INSIDE if word != "interface"]
LINES = st.lists(
    st.one_of(
        st.sampled_from(FREE).flatmap(
            lambda word: st.tuples(st.just(word), *[FIELD] * len(WORDS[word].fields))
        ),
        st.sampled_from(
            [("interface", "eth0", "", "", ""), ("interface", "ä" * 7, "veth", "p:"[:1], "root")]
        ),
    ),
    max_size=20,
)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(lines=LINES)
def test_any_fields_are_read_as_they_were_written(
    reader: Path, tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, ...]]
) -> None:
    plan = (
        HEADER
        + b"stage\tservices\n"
        + b"".join(map(plan_line, [("container", "a", "/b", ""), *lines]))
    )
    shown = [f"2 3 outside <a> </b> <> +{len(lines)}"]
    shown += [
        f"2 {number + 4} inside{''.join(f' <{field}>' for field in line[1:])}"
        for number, line in enumerate(lines)
    ]
    expected = "".join(f"{line}\n" for line in shown).encode("utf-8", "surrogateescape")
    assert read(reader, plan, tmp_path_factory.mktemp("plan")) == expected
    for line in lines:
        assert plan_fields(plan_line(line).decode("utf-8", "surrogateescape")[:-1]) == line


@pytest.mark.parametrize(
    "line",
    [
        ("fly",),
        ("mount", "a"),
        ("module", "a", "b"),
        ("test", "a\0b"),
        ("test", "a" * MAX_LINE),
        ("test", "\n" * (MAX_LINE // 2)),
        ("test", "ä" * (MAX_LINE // 2)),
        ("mount", "", "/a" * 2048, "", "bind"),
        ("directory", "0755", f"/{'a' * 256}"),
        ("directory", "0755", f"x/{'ä' * 128}/y"),
        ("cgroup", "a/" * 2041),
        ("bindns", "net", "/run" * 1024),
        ("interface", "", "veth", "peer", ""),
        ("interface", "a" * 16, "", "", ""),
        ("interface", "ä" * 8, "", "", ""),
        ("interface", "a b", "", "", ""),
        ("interface", "..", "", "", ""),
        ("interface", "eth0", "veth", "a/b", ""),
        ("interface", "eth0", "veth", "", ""),
        ("interface", "eth0", "dummy", "peer", ""),
        ("interface", "eth0", "a" * 16, "", ""),
    ],
)
def test_what_init_would_not_read_is_not_written(line: tuple[str, ...]) -> None:
    with pytest.raises(PlanError):
        plan_line(line)


@pytest.mark.parametrize(
    "line",
    [
        ("mount", "", f"/{'a/' * 2047}", "", "bind"),
        ("directory", "0755", f"{'ä' * 127}x/y"),
        ("cgroup", "a/" * 2040),
        ("interface", "a" * 15, "a" * 15, "", ""),
    ],
)
def test_what_is_just_short_enough_is_written(line: tuple[str, ...]) -> None:
    assert plan_line(line)


def test_the_longest_line_is_read(reader: Path, tmp_path: Path) -> None:
    line = plan_line(("module", "a" * (MAX_LINE - len("module\t"))))
    assert b"problem" not in read(reader, HEADER + b"stage\tboot\n" + line, tmp_path)


def test_the_build_says_which_container(tmp_path: Path) -> None:
    runtime = {
        "mounts": [],
        "mkdir": [],
        "cgroups": [],
        "interfaces": [],
        "bindNS": {},
        "namespace": "",
    }
    runtime["bindNS"] = dict.fromkeys(("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"), "")
    spec = {
        "ociVersion": "1.2.0",
        "process": {},
        "root": {"path": "rootfs"},
        "mounts": [],
        "linux": {},
    }
    from compos.compose.container import json_document

    where = ("services", "web", "containers/services/web")
    bundle = Bundle.of(
        where,
        json_document(spec),
        spec,
        runtime,
        (("health", *"11111"), ("test", "x" * 70_000)),
        None,
    )
    with pytest.raises(ConfigError, match="more than 65536 bytes") as caught:
        boot_plan({"onboot": [], "services": [bundle], "onshutdown": []}, (), {}, {})
    assert (caught.value.id, caught.value.place) == ("plan-line", "the container web")


WEB = b"stage\tservices\ncontainer\tdb\t/d\tns\nrestart\talways\t0\ncontainer\tweb\t/w\tns\n"
DAMAGED = {
    "an unknown word": b"fly\t1\n",
    "too few fields": b"mount\ta\n",
    "too many fields": b"seccomp\t1\t2\t3\n",
    "a bad escape": b"seccomp\t1\t/x\\y\n",
    "a zero byte": b"seccomp\t1\t/x\0y\n",
    "a long line": b"test\t" + b"x" * MAX_LINE + b"\n",
    "an empty line": b"\n",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_line_that_cannot_be_read_takes_its_container_along(
    reader: Path, tmp_path: Path, case: str
) -> None:
    """Without it the container would be another one than was meant: one without its profile,
    say."""
    after = b"restart\talways\t0\ncontainer\tnext\t/n\tns\nnamespace\tnet\t/x\n"
    output = read(reader, HEADER + WEB + DAMAGED[case] + after, tmp_path).decode()
    problem, told, *lines = output.splitlines()
    assert problem.startswith("problem 6: ")
    assert told == "problem 6: the container web is skipped"
    assert lines == [
        "2 3 outside <db> </d> <ns> +1",
        "2 4 inside <always> <0>",
        "2 5 outside <web> </w> <ns> +0 broken",
        "2 8 outside <next> </n> <ns> +0",
        "2 9 outside <net> </x>",
    ]


def test_a_bad_line_of_the_stage_takes_nothing_along(reader: Path, tmp_path: Path) -> None:
    output = read(
        reader, HEADER + WEB + b"namespace\tnet\nstage\nstage\tshutdown\n", tmp_path
    ).decode()
    assert "left out" not in output
    assert "<web>" in output
