"""`make linuxkit-examples LINUXKIT=FOLDER`: builds each example of a checkout of LinuxKit with its
text untouched (`--bricks-for linuxkit`), boots what can boot, and writes docs/linuxkit-examples.md.

May touch: a store of its own, build/linuxkit-store, which needs the Debian mirror, and
build/linuxkit. LinuxKit's packages are our bricks. The images of others (nginx, alpine, docker, …)
are Debian's programs under their names, built from our recipes: what is tried is the YAML, not
these images.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compos.cli.main import main as compos  # noqa: E402
from compos.image.store import Store  # noqa: E402
from tests.boot.runtimes import until  # noqa: E402  the tests are not installed
from tests.guest import Guest  # noqa: E402

__all__ = ["EXAMPLES", "PAGE", "Example", "main", "stand_in"]

PAGE = ROOT / "docs" / "linuxkit-examples.md"
WORK = ROOT / "build" / "linuxkit"
SECONDS = 300
"""Until a guest shows what is waited for."""

STAND_INS = {
    **dict.fromkeys(("alpine", "busybox"), "busybox"),
    **{name: name for name in ("docker", "nginx", "redis")},
    **dict.fromkeys(("chronograf", "influxdb", "kapacitor", "telegraf"), "dummy"),
    **dict.fromkeys(("vpnkit-expose-port", "vpnkit-forwarder"), "dummy"),
}
"""The brick whose recipe stands in for an image; dummy only lets the build find one."""

HEAD = """\
# LinuxKit's examples

Every YAML of LinuxKit's `examples` and its `linuxkit.yml`, built with the text untouched by `compos
build --bricks-for linuxkit`, then booted in QEMU without hardware acceleration (`--mem 2048`) until
the console shows, or its shell answers, what the last column says. Written by
`make linuxkit-examples LINUXKIT=FOLDER`, FOLDER being a checkout of LinuxKit; its files are no part
of compos. Hashes in the names of LinuxKit's packages have no effect.

No registry was used. LinuxKit's packages are our bricks, and images of others have Debian's
programs under their names: nginx, redis and docker, and busybox for alpine and busybox. Where there
is no such program, an image that does nothing lets the system build: it says nothing of that
service.

| example | builds | boots | seen, or why not |
|---|---|---|---|
"""


TAIL = """
`dm-crypt` boots, and its disk is not encrypted: LinuxKit's program encrypts over the file system
that `format` has made in front of it, ours never overwrites one. Leave `format` out, as
[dm-crypt.yml](../examples/dm-crypt.yml) does.
"""


class Example(NamedTuple):
    """A YAML, without `.yml`. What to see of it: `shows` on the console, in any order, or that
    `ask` succeeds in the console's shell, sooner or later; or `why` it is not booted. `disk` is
    the size of a disk at /dev/sda, `data` metadata on a CD, `first` a YAML that it is merged
    with."""

    name: str
    shows: tuple[str, ...] = ()
    ask: str = ""
    why: str = ""
    disk: str = ""
    data: str = ""
    arch: str = "amd64"
    first: str = ""


PAGE_OF_NGINX = "wget -qO- http://127.0.0.1/ | grep -i '<h1>'"
OTHER_CONSOLE = "the serial port is not its console"
KEYS = '{"ssh": {"entries": {"authorized_keys": {"perm": "0600", "content": "ssh-rsa A"}}}}'
VPNKIT = "needs Docker Desktop's vpnkit and its 9p share"
EXAMPLES = (
    Example("linuxkit", ask=PAGE_OF_NGINX),
    Example("addbinds", ("login:",)),
    Example("cadvisor", ask="wget -qO- http://127.0.0.1:8080/metrics | grep /docker", disk="2G"),
    Example("containerd-debug", ask="grep level=debug /proc/1/root/var/log/containerd*"),
    Example("dm-crypt", ("holds an ext4 file system; nothing is changed",), disk="256M"),
    Example(
        "dm-crypt-loop",
        ask="grep 'crypt_loop_dev /var/secure_storage' /proc/1/mounts",
        disk="256M",
    ),
    Example("docker", ask="nsenter -t $(pidof dockerd) -m docker info | grep overlay2", disk="2G"),
    Example("docker-for-mac", why=VPNKIT),
    Example("getty", ("login:",)),
    Example(
        "hostmount-writeable-overlay", ask="touch /writeable-host-etc/a && ls /writeable-host-etc/a"
    ),
    Example("influxdb-os", why="Debian has none of its four programs"),
    Example("logging", ask="grep hello /proc/1/root/var/log/write-to-the-logs*"),
    Example("minimal", ask="ip -4 address show dev eth0 | grep 'inet 10.0.2.15'"),
    Example("node_exporter", ask="wget -qO- http://127.0.0.1:9100/metrics | grep node_uname_info"),
    # No OpenStack, no keys, no sshd.
    Example("openstack", ("metadata: no provider found", r"services started \(2 of 3\)")),
    Example("platform-aws", ("metadata: found CDROM", r"services started \(4 of 4\)"), data=KEYS),
    Example("platform-azure", (r"services started \(3 of 3\)",)),
    Example("platform-equinixmetal", why=OTHER_CONSOLE),
    Example(
        "platform-equinixmetal.arm64",
        why="needs a ThunderX's network card",
        arch="arm64",
        first="platform-equinixmetal",
    ),
    Example("platform-gcp", ask="cat /proc/1/root/run/config/ssh/authorized_keys", data=KEYS),
    Example("platform-hetzner", why=OTHER_CONSOLE),
    Example("platform-rt-for-vmware", why=OTHER_CONSOLE),
    Example("platform-scaleway", ask="grep CDROM /proc/1/root/run/config/provider", data=KEYS),
    Example("platform-vmware", why=OTHER_CONSOLE),
    Example("platform-vultr", ask=PAGE_OF_NGINX),
    Example("redis-os", ask="echo PING | nc 127.0.0.1 6379"),
    Example("sshd", (r"services started \(3 of 3\)",)),
    Example("static-ip", why="not YAML: a comment in its block scalar ends it"),
    Example("swap", (r"services started \(2 of 2\)", "bytes in /var/external/swap"), disk="2G"),
    Example("tpm", ask="svc ps | grep tss"),
    Example("volumes", ask="ls /proc/1/root/containers/volumes/alpine/lower/bin/sh"),
    Example("vpnkit-forwarder", why=VPNKIT),
    Example("vsudd-containerd", (r"services started \(1 of 1\)",)),
    Example("wireguard", ask="wget -qO- http://192.168.2.1/ | grep -i '<h1>'"),
)


def images(document: object) -> Iterator[str]:
    """The names of a YAML's images."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "image" and isinstance(value, str):
                yield value
            elif key == "init":
                yield from value
            elif key != "trust":
                yield from images(value)
    elif isinstance(document, list):
        for value in document:
            yield from images(value)


def stand_in(image: str) -> str:
    """A recipe that builds `image` from Debian's packages; empty if a brick stands for it."""
    repository, _, tag = image.partition(":")
    organisation, _, name = repository.rpartition("/")
    if name not in STAND_INS or organisation not in ("", "linuxkit"):
        return ""
    text = (ROOT / "bricks" / STAND_INS[name] / "build.yml").read_text()
    for key, value in (("image", name), ("org", organisation or "library")):
        text = re.sub(rf"(?m)^{key}: .*", f"{key}: {value}", text)
    return re.sub(r"(?m)^tag: .*", f'tag: "{tag or "latest"}"', text)


def build_stand_ins(source: Path, arch: str) -> None:
    """Have an image for each name that is no brick's."""
    for image in sorted({*images(yaml.safe_load(source.read_text()))}):
        text = stand_in(image)
        folder = WORK / "recipes" / re.sub(r"\W", "-", image)
        if not text or (folder / arch).exists():
            continue
        brick = ROOT / "bricks" / STAND_INS[image.partition(":")[0].rpartition("/")[2]]
        folder.mkdir(parents=True, exist_ok=True)
        for file in brick.iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
        (folder / "build.yml").write_text(text)
        assert compos(["pkg", "build", "--platforms", f"linux/{arch}", str(folder)]) == 0, image
        if ":" not in image:  # another name, which has no tag
            store = Store(Path(os.environ["COMPOS_CACHE"]))
            name = f"docker.io/library/{image}"
            store.tag(name, store.named(f"{name}:latest"))
        (folder / arch).touch()


def build(example: Example, checkout: Path) -> Path | None:
    """The prefix of the example's outputs; none if it does not build."""
    sources = [_source(checkout, name) for name in (example.first, example.name) if name]
    try:
        for source in sources:
            build_stand_ins(source, example.arch)
    except yaml.YAMLError:
        pass  # compos says so, too
    target = ["--dir", str(WORK), "--name", example.name, "--arch", example.arch]
    options = ["--bricks-for", "linuxkit", "--allow-local-files"]
    status = compos(["build", *options, *target, *(str(source) for source in sources)])
    return WORK / example.name if status == 0 else None


def _source(checkout: Path, name: str) -> Path:
    return (checkout if name == "linuxkit" else checkout / "examples") / f"{name}.yml"


def boots(example: Example, prefix: Path) -> str:
    """Boot it; what it has not shown, or nothing."""
    disk = WORK / "disk.img"
    disk.unlink(missing_ok=True)
    options = ["--mem", "2048", "--state", str(WORK / f"{example.name}-state")]
    if example.disk:
        options += ["--disk", f"{disk},size={example.disk}"]
    if example.data:
        options += ["--data", example.data]
    with Guest(prefix, *options, log=WORK / f"{example.name}.log") as guest:
        missing = example.ask
        try:
            for missing in example.shows:
                until(guest, missing, SECONDS)
            if example.ask:
                guest.prompt(SECONDS)
                guest.run(f"until {example.ask}; do sleep 2; done", SECONDS)
        except AssertionError:
            return missing
    return ""


def row(example: Example, checkout: Path) -> str:
    """The example's line of the page."""
    prefix = build(example, checkout)
    seen = (*example.shows, *([example.ask] if example.ask else []))
    built, booted, said = "yes", "yes", "; ".join(f"`{one}`" for one in seen)
    if prefix is None:
        built, booted, said = "**no**", "", example.why
    elif example.why:
        booted, said = "not tried", example.why
    elif missing := boots(example, prefix):
        booted, said = "**no**", f"no `{missing}`"
    said = said.replace("|", "\\|")
    line = f"| {example.name} | {built} | {booted} | {said} |"
    print(line, flush=True)
    return line


def main(checkout: Path, names: list[str]) -> None:
    """Try `names`, or all, and write the page."""
    os.environ.setdefault("COMPOS_CACHE", str(ROOT / "build" / "linuxkit-store"))
    WORK.mkdir(parents=True, exist_ok=True)
    checkout = checkout.resolve()
    os.chdir(checkout / "examples")  # to which they name files
    lines = {}
    if names:
        for line in PAGE.read_text().splitlines():
            lines[line.split(" ")[1] if line.startswith("| ") else ""] = line
    for example in EXAMPLES:
        if not names or example.name in names:
            lines[example.name] = row(example, checkout)
    rows = [lines[example.name] for example in EXAMPLES if example.name in lines]
    PAGE.write_text(HEAD + "\n".join(rows) + "\n" + TAIL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
