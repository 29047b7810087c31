"""What the boot plan may not ask of init: containers and plans that it does not read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from compos.compose.plan import MAX_PLAN, MAX_SPECIFICATION, RUNC_ID, boot_plan
from compos.config.model import Volume
from compos.errors import ConfigError
from tests.compose.systems import World
from tests.images import Member

LABELS = {
    "a profile beside it": {"org.compos.init.plan": "1", "org.compos.init.seccomp": "1"},
    "a profile in it": {"org.compos.init.plan": "1"},
}
SYSTEM = (
    "init: ['acme/init:1']\nSECTION:\n  - {name: web, image: 'acme/app:1', env: ['X=PADDING']}\n"
)


def specification(world: World, yaml: str, base: str) -> int:
    """How long the specification is that init makes."""
    nodes = world.nodes(yaml)
    line = next(
        line
        for line in world.text(nodes["etc/compos/plan"]).splitlines()
        if line.startswith("rootpath\t")
    )
    size = nodes[f"{base}/config.json"].size - int(line.split("\t")[2]) + len(f'"/{base}/rootfs"')
    profiles = [node.size for path, node in nodes.items() if path.startswith("etc/compos/seccomp/")]
    return size + sum(len('"seccomp":,') + profile for profile in profiles)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize(("section", "base"), [("services", "web"), ("onboot", "000-web")])
def test_the_longest_container(
    world: World, labels: dict[str, str], section: str, base: str
) -> None:
    world.image("acme/init:1", [[Member("init")]], {"Labels": labels})
    yaml = SYSTEM.replace("SECTION", section)
    if section == "onboot" and len(labels) == 1:
        # The runtime reads it where it is.
        world.nodes(yaml.replace("PADDING", "x" * MAX_SPECIFICATION))
        return
    short = specification(world, yaml.replace("PADDING", ""), f"containers/{section}/{base}")
    longest = yaml.replace("PADDING", "x" * (MAX_SPECIFICATION - short))
    assert specification(world, longest, f"containers/{section}/{base}") == MAX_SPECIFICATION
    with pytest.raises(ConfigError, match=f"has {MAX_SPECIFICATION + 1:,} bytes") as caught:
        world.nodes(yaml.replace("PADDING", "x" * (MAX_SPECIFICATION - short + 1)))
    assert caught.value.id == "container-long"
    assert re.search(r"os\.yml:3", caught.value.place or "")


RUNTIMES = {
    "containerd": ["usr/bin/containerd", "usr/bin/runc"],
    "runc": ["usr/bin/runc"],
    "crun": ["usr/bin/crun"],
}
NAMES = {
    "web": "",
    "web-1.2_x": "",
    "a" * 76: "",
    "a" * 77: "containerd",
    "a" * 238: "containerd",
    "a" * 239: "containerd runc crun",
    "ä" * 119: "containerd runc",
    ".hidden": "containerd runc crun",
    "two words": "containerd runc",
    "a--b": "containerd",
    "end-": "containerd",
    "a+b": "containerd",
    "ä": "containerd runc",
    "a@b": "containerd runc",
}
"""Names of services, and who would not take them."""


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_names_that_nobody_would_run(world: World, runtime: str) -> None:
    programs = [Member(path, mode=0o755) for path in RUNTIMES[runtime]]
    world.image(
        "acme/init:1", [[Member("init"), *programs]], {"Labels": LABELS["a profile beside it"]}
    )
    refused = {}
    for name in NAMES:
        try:
            world.nodes(
                f"init: ['acme/init:1']\nservices: [{{name: '{name}', image: 'acme/app:1'}}]\n"
            )
        except ConfigError as error:
            refused[name] = (error.id, "os.yml:2" in (error.place or ""))
    wanted = [name for name, whom in NAMES.items() if runtime in whom.split()]
    assert refused == dict.fromkeys(wanted, ("container-name", True))


@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name and name.isascii()])
def test_runc_takes_the_names_that_we_let_through(name: str, tmp_path: Path) -> None:
    """It looks at the name before anything else."""
    command = ["runc", "--root", str(tmp_path), "state", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ("invalid" in done.stderr) == (not RUNC_ID.fullmatch(name)), done.stderr


def test_another_init_reads_what_it_likes(world: World) -> None:
    world.nodes(SYSTEM.replace("SECTION", "services").replace("PADDING", "x" * MAX_SPECIFICATION))


def test_a_plan_that_init_would_not_read() -> None:
    volumes = [Volume(name="x" * 60_000)] * (MAX_PLAN // 60_000 + 1)
    with pytest.raises(ConfigError, match=f"init reads at most {MAX_PLAN:,}") as caught:
        boot_plan({"onboot": [], "services": [], "onshutdown": []}, volumes, {}, {})
    assert caught.value.id == "plan-long"
