"""The plan's reader: lines become a table, and broken plans break nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.bricks.drivers import Run

HEADER = "compos-plan\t1\n"

PLANS = {
    "stages and containers": (
        HEADER
        + "stage\tboot\ncoldplug\nmount\ta\t/b\ttmpfs\tro\nstage\tonboot\ncontainer\t000-a\t/c\t\n"
        "mount\ta\tb\t\tbind\ncgroup\tx\ncontainer\t001-b\t/d\t\nstage\tservices\ncontainerd\t/c\t/s\n"
        "container\tweb\t/w\tns\nrootpath\t1\t8\nscript\t/late\nmount\ta\t/b\tc\td\nstage\tshutdown\n",
        (
            "0 3 outside\n0 4 outside <a> </b> <tmpfs> <ro>\n1 6 outside <000-a> </c> <> +2\n"
            "1 7 inside <a> <b> <> <bind>\n1 8 inside <x>\n1 9 outside <001-b> </d> <> +0\n2 11 outside </c> </s>\n"
            "2 12 outside <web> </w> <ns> +1\n2 13 inside <1> <8>\n2 14 outside </late>\n2 15 outside <a> </b> <c> <d>\n"
        ),
    ),
    "escapes": (
        HEADER + "stage\tboot\nsymlink\ta\\tb\\\\c\\nd\t\n",
        "0 3 outside <a\tb\\c\nd> <>\n",
    ),
    "unknown word": (
        HEADER + "stage\tboot\nfly\nclock\n",
        "problem 3: unknown word\n0 4 outside\n",
    ),
    "too few fields": (HEADER + "stage\tboot\nmodule\n", "problem 3: wrong number of fields\n"),
    "too many": (HEADER + "stage\tboot\nclock\t\n", "problem 3: wrong number of fields\n"),
    "far too many": (
        HEADER + "stage\tboot\nmodule" + "\ta" * 90 + "\n",
        "problem 3: too many fields, or an unknown escape\n",
    ),
    "bad escape": (
        HEADER + "stage\tboot\nmodule\t\\x\n",
        "problem 3: too many fields, or an unknown escape\n",
    ),
    "escape at the end": (
        HEADER + "stage\tboot\nmodule\ta\\\n",
        "problem 3: too many fields, or an unknown escape\n",
    ),
    "cut off": (HEADER + "stage\tboot\nclock", "problem 3: the last line is truncated\n"),
    "before the stage": (
        HEADER + "clock\nstage\tboot\n",
        "problem 2: line before the first stage\n",
    ),
    "stage twice": (
        HEADER + "stage\tonboot\nstage\tboot\nclock\nstage\tservices\nclock\n",
        "problem 3: unknown stage, or not in the order boot, onboot, services, shutdown\n2 6 outside\n",
    ),
    "container in boot": (
        HEADER + "stage\tboot\ncontainer\ta\t/b\t\ncgroup\tx\nclock\nmount\ta\t/b\tc\td\n",
        "problem 3: no containers in the stage boot\n0 5 outside\n0 6 outside <a> </b> <c> <d>\n",
    ),
    "a lost container takes its lines along": (
        HEADER + "stage\tonboot\ncontainer\ta\nmount\ta\t/b\tc\td\ncontainer\tb\t/b\t\ncgroup\tx\n",
        "problem 3: wrong number of fields\n1 5 outside <b> </b> <> +1\n1 6 inside <x>\n",
    ),
    "containerd elsewhere": (
        HEADER + "stage\tshutdown\ncontainerd\ta\tb\n",
        "problem 3: too late for containerd\n",
    ),
    "container's word outside": (
        HEADER + "stage\tonboot\nrootpath\t1\t2\n",
        "problem 3: allowed only in a container\n",
    ),
    "zero byte": (HEADER + "stage\tboot\nmodule\ta\0b\n", "problem 3: zero byte\n"),
    "line too long": (
        HEADER + "stage\tboot\nmodule\t" + "a" * 65536 + "\n",
        "problem 3: line too long\n",
    ),
    "empty line": (HEADER + "stage\tboot\n\n", "problem 3: unknown word\n"),
    "other version": ("compos-plan\t2\nstage\tboot\nclock\n", "no plan\n"),
    "empty": ("", "no plan\n"),
    "header alone": (HEADER, ""),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_becomes_a_table_of_lines(name: str, run: Run, tmp_path: Path) -> None:
    text, expected = PLANS[name]
    (tmp_path / "plan").write_bytes(text.encode())
    assert run("plan", tmp_path / "plan") == expected


def test_broken_plans_break_nothing(run: Run, tmp_path: Path) -> None:
    chance = random.Random(20)
    base = PLANS["stages and containers"][0].encode()
    paths = []
    for number in range(400):
        damaged = bytearray(base)
        for _ in range(chance.randrange(1, 12)):
            place = chance.randrange(len(HEADER), len(damaged))
            damaged[place : place + chance.randrange(3)] = chance.choice(
                (b"", b"\t", b"\n", b"\\", b"\0", b"\xff")
            )
        path = tmp_path / str(number)
        path.write_bytes(damaged)
        paths.append(path)
    # The sanitizers end the program at the first wrong access; the run fixture checks its status.
    output = run("plan", *paths)
    assert output.count("problem") > 400


def test_the_builds_own_plan_is_read_without_a_problem(run: Run, tmp_path: Path) -> None:
    from compos.compose.plan import boot_plan

    plan = boot_plan({"onboot": [], "services": [], "onshutdown": []}, (), {}, {})
    (tmp_path / "plan").write_bytes(plan)
    output = run("plan", tmp_path / "plan")
    assert "problem" not in output
    assert output.count("\n") == plan.count(b"\n") - 1 - plan.count(b"\nstage\t")
