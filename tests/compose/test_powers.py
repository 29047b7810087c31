"""What of an image's label is power over the machine, whether the YAML takes it back, and who says
it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.compose.effective import effective_config
from compos.compose.powers import label_powers, powers, refuse_powers
from compos.config.dump import resolved_yaml
from compos.config.load import decode_label
from compos.errors import CombinedError, ComposError
from tests.compose.systems import World
from tests.images import Member, make_image

POWERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"capabilities": ["all"]}, ["all capabilities"]),
    ({"capabilities": ["ALL"]}, ["all capabilities"]),
    ({"ambient": ["all"]}, ["all capabilities"]),
    ({"capabilities": ["CAP_SYS_ADMIN", "CAP_CHOWN"]}, ["the capability CAP_SYS_ADMIN"]),
    ({"capabilities": ["CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN"]}, []),
    ({"pid": "host"}, ["the machine's processes"]),
    ({"pid": "root"}, ["the machine's processes"]),
    ({"pid": "/proc/1/ns/pid"}, ["the namespace /proc/1/ns/pid"]),
    ({"pid": "new", "net": "host", "ipc": "host", "uts": "host"}, []),
    ({"binds": ["/:/host"]}, ["the machine's /"]),
    ({"binds": ["/.//x/..:/host:ro"]}, ["the machine's /"]),
    ({"binds": ["/run:/run", "/var/run:/x"]}, ["the machine's /run", "the machine's /var/run"]),
    ({"binds": ["/run/containerd/containerd.sock:/s"]}, ["the machine's /run/containerd/containerd.sock"]),
    ({"binds": ["/proc/1/root:/host"]}, ["the machine's /proc/1/root"]),
    ({"binds": ["/etc/resolv.conf:/etc/resolv.conf", "/run/resolvconf:/etc", "/var/lib/x:/x"]}, []),
    ({"binds": ["data:/x"]}, []),
    ({"mounts": [{"type": "bind", "source": "/dev", "destination": "/d"}]}, ["the machine's /dev"]),
    ({"mounts": [{"type": "none", "source": "/", "destination": "/d", "options": ["rbind"]}]}, ["the machine's /"]),
    ({"mounts": [{"type": "ext4", "source": "/dev/sda1", "destination": "/d"}]}, ["a file system ext4 at /d"]),
    ({"mounts": [{"type": "devtmpfs", "source": "d", "destination": "/dev"}]}, ["a file system devtmpfs at /dev"]),
    ({"mounts": [{"source": "sysfs"}]}, ["a file system sysfs at sysfs"]),
    ({"mounts": [{"source": "sysfs", "options": ["ro"]}, {"source": "mqueue"}]}, []),
    ({"mounts": [{"type": "tmpfs", "source": "t", "destination": "/t"}]}, []),
    ({"devices": [{"path": "all", "type": "b"}]}, ["every device"]),
    ({"devices": [{"path": "/dev/mem", "type": "c", "major": 1, "minor": 1, "mode": "0600"}]}, ["the device /dev/mem"]),
    ({"resources": {"devices": [{"allow": True, "type": "a", "access": "rwm"}]}}, ["devices by a rule"]),
    ({"resources": {"devices": [{"allow": False}], "pids": {"limit": 9}}}, []),
    ({"rootfsPropagation": "shared"}, ["mounts that the machine sees"]),
    ({"rootfsPropagation": "rslave"}, []),
    ({"seccomp": "unconfined"}, ["its own choice of system calls"]),
    ({"seccomp": "default"}, []),
    ({"maskedPaths": []}, ["its own choice of masked paths"]),
    ({"readonlyPaths": []}, ["its own choice of read-only paths"]),
    ({"runtime": {"mounts": [{"destination": "/sbin/init", "source": "/containers/x", "options": ["bind"]}]}},
     ["a mount on the machine's /sbin/init"]),
    ({"runtime": {"mounts": [{"destination": "../../x", "type": "tmpfs"}]}}, ["a mount on the machine's /../../x"]),
    ({"runtime": {"mounts": [{"destination": "x", "source": "/", "options": ["bind"]}]}}, ["the machine's /"]),
    ({"runtime": {"mounts": [{"destination": "x", "type": "tmpfs"}], "mkdir": ["/var/x"], "cgroups": ["x"]}}, []),
    ({"runtime": {"interfaces": [{"name": "eth0"}, {"name": "wg0", "add": "wireguard"}]}}, ["the machine's interface eth0"]),
    ({"runtime": {"bindNS": {"net": "/run/netns/x", "pid": "/init"}}}, ["a namespace at the machine's /init"]),
    ({"readonly": True, "uid": 5, "oomScoreAdj": -800, "hostname": "h", "noNewPrivileges": False}, []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "expected"), POWERS, ids=[json.dumps(label) for label, _ in POWERS]
)
def test_powers(label: dict[str, Any], expected: list[str]) -> None:
    found = [power.what for power in powers(decode_label(json.dumps(label), "x"))]
    assert found == [what.replace("/../../x", "/x") for what in expected]


OVERRIDES = [
    ({"capabilities": ["all"]}, "capabilities: []"),
    ({"capabilities": ["all"]}, "capabilities: [CAP_CHOWN]"),
    ({"pid": "host"}, "pid: new"),
    ({"binds": ["/:/h"]}, "binds: []"),
    ({"devices": [{"path": "all", "type": "a"}]}, "devices: []"),
    ({"seccomp": "unconfined"}, "seccomp: default"),
    ({"runtime": {"mounts": [{"destination": "/x", "type": "tmpfs"}]}}, "runtime: {mounts: []}"),
]


@pytest.mark.parametrize(("label", "entry"), OVERRIDES)
def test_the_yaml_takes_it_back(label: dict[str, Any], entry: str, world: World) -> None:
    world.label("acme/app:1", label)
    yaml = "services:\n  - name: app\n    image: acme/app:1\n"
    assert label_powers(world.config(yaml), world.images)
    assert not label_powers(world.config(f"{yaml}    {entry}\n"), world.images)


def test_adding_to_it_does_not(world: World) -> None:
    world.label("acme/app:1", {"capabilities": ["all"], "binds": ["/:/h"], "pid": "host"})
    entry = "    capabilities.add: [CAP_CHOWN]\n    binds.add: ['/a:/a']\n    pid: ''\n"
    (found,) = label_powers(
        world.config(f"services:\n  - name: app\n    image: acme/app:1\n{entry}"), world.images
    )
    assert [power.key for power in found[2]] == ["capabilities", "pid", "binds"]


def test_all_of_them_are_refused_at_once(world: World) -> None:
    world.label("acme/app:1", {"pid": "host"})
    yaml = "onboot: [{name: a, image: acme/app:1}]\nonshutdown: [{name: b, image: acme/app:1}]\n"
    with pytest.raises(CombinedError) as caught:
        refuse_powers(label_powers(world.config(yaml), world.images))
    assert [error.id for error in caught.value.errors] == ["label-powers"] * 2
    assert "os.yml:1" in (caught.value.errors[0].place or "")
    with pytest.raises(ComposError) as one:
        refuse_powers(label_powers(world.config(yaml.partition("\n")[0]), world.images))
    assert "pid" in (one.value.hint or "")


def test_config_marks_them(world: World) -> None:
    world.label("acme/app:1", {"pid": "host", "capabilities": ["all"], "net": "host"})
    config = world.config(
        "services:\n  - name: app\n    image: acme/app:1\n    capabilities.add: [CAP_KILL]\n"
    )
    text = resolved_yaml(effective_config(config, world.images), with_origins=True)
    name = world.images["acme/app:1"].name
    assert f"pid: host  # label of {name} (power over the machine)" in text
    assert f"- all  # label of {name} (power over the machine)" in text
    assert f"net: host  # label of {name}\n" in text


BUILD = "init: ['oci:init']\nservices: [{name: app, image: 'oci:app'}]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `init` and `app` are OCI layouts; the latter's label grants much."""
    from compos.image.store import Store

    label = {
        "org.mobyproject.config": json.dumps(
            {"capabilities": ["all"], "pid": "host", "binds": ["/:/h"]}
        )
    }
    make_image(Store(tmp_path / "init"), "init", [[Member("init", mode=0o755, content="#!")]])
    make_image(
        Store(tmp_path / "app"),
        "app",
        [[Member("app", mode=0o755, content="a")]],
        {"Labels": label},
    )
    (tmp_path / "os.yml").write_text(BUILD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_build_names_them_each_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "build",
        "--cache",
        str(folder / "store"),
        "--arch",
        "amd64",
        "--no-sbom",
        "-f",
        "tar",
        "os.yml",
    ]
    for _ in range(2):
        assert main(command) == 0
        assert (
            "grants all capabilities, the machine's processes, the machine's /"
            in capsys.readouterr().err
        )
    assert main([*command, "--quiet"]) == 0
    assert "grants" not in capsys.readouterr().err
    (folder / "os.tar").unlink()
    assert main([*command, "--no-label-powers"]) == 1
    assert "error[label-powers]" in capsys.readouterr().err
    assert not (folder / "os.tar").exists()
    asked = BUILD.replace("'oci:app'", "'oci:app', capabilities: [all], pid: host, binds: ['/:/h']")
    (folder / "os.yml").write_text(asked)
    assert main([*command, "--no-label-powers"]) == 0
    assert "grants" not in capsys.readouterr().err


def test_flags_that_do_not_go_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--no-label-powers", "--input-tar", "x.tar", "os.yml"]) == 1
    assert "--no-label-powers" in capsys.readouterr().err
