"""`make linuxkit-examples LINUXKIT=FOLDER`: builds each example of a checkout of LinuxKit with its
text untouched (`--bricks-for linuxkit`), boots what can boot, and writes docs/linuxkit-examples.md.

May touch: a store of its own, build/linuxkit-store, which needs the Debian mirror, and
build/linuxkit. LinuxKit's packages are our bricks. The images of others (nginx, alpine, docker, …)
are Debian's programs under their names, built from our recipes: what is tried is the YAML, not
these images.

With names, `python -m scripts.linuxkit_examples FOLDER NAME…` tries these only and leaves others as
they are; with `--no-boot` before the names, they are built and no more.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compos.cli.main import main as compos  # noqa: E402
from compos.image.store import Store  # noqa: E402
from tests.boot.runtimes import until  # noqa: E402  the tests are not installed
from tests.guest import Guest, free_port  # noqa: E402

__all__ = [
    "EXAMPLES",
    "NOT_NOW",
    "PAGE",
    "STAND_INS",
    "Example",
    "answer_at",
    "build_stand_in",
    "build_stand_ins",
    "images",
    "main",
    "sights",
    "stand_in",
]

PAGE = ROOT / "docs" / "linuxkit-examples.md"
WORK = ROOT / "build" / "linuxkit"
SECONDS = 900
"""Until a guest shows what is waited for: long, for this machine may have other work."""

STAND_INS = {
    **dict.fromkeys(("alpine", "busybox"), "busybox"),
    **{name: name for name in ("docker", "nginx", "redis")},
    **dict.fromkeys(("chronograf", "influxdb", "kapacitor", "telegraf"), "dummy"),
    **dict.fromkeys(("vpnkit-expose-port", "vpnkit-forwarder"), "dummy"),
}
"""The brick whose recipe stands in for an image; dummy only lets the build find one."""

OF_ALPINES_BUSYBOX = """
files:
  - path: bin/iplink
    mode: "0755"
    contents: |
      #!/bin/sh
      exec ip link "$@"
  - path: sbin/poweroff
    mode: "0755"
    contents: |
      #!/bin/sh
      exec /bin/poweroff "$@"
"""
"""What scripts find in Alpine's BusyBox, and not in our brick."""

HEAD = """\
# LinuxKit's examples

Every YAML of LinuxKit's `examples` and its `linuxkit.yml`, built with the text untouched by `compos
build --bricks-for linuxkit`, then booted in QEMU without hardware acceleration (`--mem 3072`, and
built with `--compress none`, for an emulated processor decompresses slowly) until the console
shows, its shell answers, or a published port sends what the last column says. Written by `make
linuxkit-examples LINUXKIT=FOLDER`, FOLDER being a checkout of LinuxKit; its files are no part of
compos. Hashes in the names of LinuxKit's packages have no effect.

No registry was used. LinuxKit's packages are our bricks, and images of others have Debian's
programs under their names: nginx, redis and docker, and busybox for alpine and busybox. Where there
is no such program, an image that does nothing lets the system build: it says nothing of that
service.

| example | builds | boots | seen, or why not |
|---|---|---|---|
"""


class Example(NamedTuple):
    """A YAML, without `.yml`. What to see of it: `shows` on the console, in any order, that `ask`
    succeeds in the console's shell, sooner or later, or that TCP port `port` says `says`; or `why`
    it is not booted. `disk` is the size of a disk at /dev/sda, `data` metadata on a CD, `first` a
    YAML that it is merged with."""

    name: str
    shows: tuple[str, ...] = ()
    ask: str = ""
    port: int = 0
    says: str = ""
    why: str = ""
    disk: str = ""
    data: str = ""
    arch: str = "amd64"
    first: str = ""


PAGE_OF_NGINX = "wget -qO- http://127.0.0.1/ | grep -i '<h1>'"
OF_SSHD = "SSH-2.0-OpenSSH"
SECRETS = "/proc/1/root/var/secure_storage/secrets"
MOUNTED = "grep '{} /var/secure_storage ext4' /proc/1/mounts && ls " + SECRETS
KEYS = '{"ssh": {"entries": {"authorized_keys": {"perm": "0600", "content": "ssh-rsa A"}}}}'
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOj9AFrne4zzbGBB9flrOUzy/bTQO5+qfcBG9TD9Amgg a\n"
NOT_NOW = "left out of the last run"
VPNKIT = "needs Docker Desktop's vpnkit and its 9p share"
EXAMPLES = (
    Example("linuxkit", ask=PAGE_OF_NGINX),
    Example("addbinds", ("login:",)),
    Example("cadvisor", ask="wget -qO- http://127.0.0.1:8080/metrics | grep /docker", disk="2G"),
    Example(
        "containerd-debug",
        ask="grep -E 'level=(debug|trace)' /proc/1/root/var/log/containerd.err.log",
    ),
    Example("dm-crypt", ask=MOUNTED.format("crypt_dev"), disk="256M"),
    Example("dm-crypt-loop", ask=MOUNTED.format("crypt_loop_dev"), disk="256M"),
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
    # The consoles of this and the next are not the serial port that QEMU shows.
    Example("platform-equinixmetal", port=22, says=OF_SSHD),
    Example(
        "platform-equinixmetal.arm64",
        why="needs a ThunderX's network card",
        arch="arm64",
        first="platform-equinixmetal",
    ),
    Example("platform-gcp", ask="cat /proc/1/root/run/config/ssh/authorized_keys", data=KEYS),
    Example("platform-hetzner", port=22, says=OF_SSHD),
    Example("platform-rt-for-vmware", port=80, says="<h1>"),
    Example("platform-scaleway", ask="grep CDROM /proc/1/root/run/config/provider", data=KEYS),
    Example("platform-vmware", port=80, says="<h1>"),
    Example("platform-vultr", ask=PAGE_OF_NGINX),
    Example("redis-os", ask="echo PING | nc 127.0.0.1 6379"),
    Example("sshd", port=22, says=OF_SSHD),
    Example("static-ip", why="not YAML: a comment in its block scalar ends it"),
    Example(
        "swap",
        ask="grep -E 'dm-|mapper/' /proc/swaps && ls /proc/1/root/var/external/swap",
        disk="2G",
    ),
    # QEMU has no TPM 1.2 here: the daemon starts, and says so.
    Example("tpm", ask="grep 'Could not find a device to open' /proc/1/root/var/log/tss*"),
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
    text = re.sub(r"(?m)^tag: .*", f'tag: "{tag or "latest"}"', text)
    return text + OF_ALPINES_BUSYBOX if name == "alpine" else text


def build_stand_ins(source: Path, arch: str) -> None:
    """Have an image for each name that is no brick's."""
    for image in sorted({*images(yaml.safe_load(source.read_text()))}):
        build_stand_in(image, arch)


def build_stand_in(image: str, arch: str) -> None:
    """Have an image of this name, unless it is a brick's."""
    text = stand_in(image)
    folder = WORK / "recipes" / re.sub(r"\W", "-", image)
    if not text or (folder / arch).exists():
        return
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
    # An emulated processor takes longest to decompress all of Debian's modules.
    options = ["--bricks-for", "linuxkit", "--allow-local-files", "--compress", "none"]
    status = compos(["build", *options, *target, *(str(source) for source in sources)])
    return WORK / example.name if status == 0 else None


def _source(checkout: Path, name: str) -> Path:
    return (checkout if name == "linuxkit" else checkout / "examples") / f"{name}.yml"


def boots(example: Example, prefix: Path) -> str:
    """Boot it; what it has not shown, or nothing."""
    disk = WORK / "disk.img"
    disk.unlink(missing_ok=True)
    # One processor: two that wait for each other cost more than they do, on a busy machine.
    options = ["--mem", "3072", "--cpus", "1", "--state", str(WORK / f"{example.name}-state")]
    if example.disk:
        options += ["--disk", f"{disk},size={example.disk}"]
    if example.data:
        options += ["--data", example.data]
    host_port = free_port() if example.port else 0
    if example.port:
        options += ["--publish", f"{host_port}:{example.port}"]
    with Guest(prefix, *options, log=WORK / f"{example.name}.log") as guest:
        missing = ""
        try:
            for missing in example.shows:
                until(guest, missing, SECONDS)
            if missing := example.ask:
                guest.prompt(SECONDS)
                guest.run(f"until {example.ask}; do sleep 2; done", SECONDS)
            if example.port:
                missing = f"{example.says} at port {example.port}"
                answer_at(host_port, example.says)
        except AssertionError:
            return missing
    return ""


def answer_at(port: int, says: str) -> None:
    """Ask for a page until `says` comes, which sshd says unasked."""
    deadline = time.monotonic() + SECONDS
    answer = b""
    while says.encode() not in answer:
        assert time.monotonic() < deadline, answer
        time.sleep(1)
        answer = b""
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 5) as asker,
        ):
            asker.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while part := asker.recv(4096):
                answer += part


def sights(example: Example) -> str:
    """What has to be seen of it; empty if it is not booted."""
    at_port = f"{example.says} at port {example.port}" if example.port else ""
    return "; ".join(f"`{one}`" for one in (*example.shows, example.ask, at_port) if one)


def row(example: Example, checkout: Path, boot: bool = True) -> str:
    """The example's line of the page."""
    prefix = build(example, checkout)
    built, booted, said = "yes", "yes", sights(example)
    if prefix is None:
        built, booted, said = "**no**", "", example.why or "see the errors"
    elif example.why:
        booted, said = "not tried", example.why
    elif not boot:
        booted, said = "not tried", NOT_NOW
    elif missing := boots(example, prefix):
        booted, said = "**no**", f"no `{missing}`"
    said = said.replace("|", "\\|")
    line = f"| {example.name} | {built} | {booted} | {said} |"
    print(line, flush=True)
    return line


def main(checkout: Path, names: list[str]) -> None:
    """Try `names`, or all, and write the page."""
    boot = "--no-boot" not in names
    names = [name for name in names if name != "--no-boot"]
    os.environ.setdefault("COMPOS_CACHE", str(ROOT / "build" / "linuxkit-store"))
    # Several examples take ~/.ssh/id_rsa.pub: somebody has one.
    os.environ["HOME"] = str(WORK / "home")
    (WORK / "home/.ssh").mkdir(parents=True, exist_ok=True)
    (WORK / "home/.ssh/id_rsa.pub").write_text(PUBLIC_KEY)
    checkout = checkout.resolve()
    os.chdir(checkout / "examples")  # to which they name files
    lines = {}
    if names and PAGE.exists():
        for line in PAGE.read_text().splitlines():
            lines[line.split(" ")[1] if line.startswith("| ") else ""] = line
    for example in EXAMPLES:
        if not names or example.name in names:
            lines[example.name] = row(example, checkout, boot)
            rows = [lines[one.name] for one in EXAMPLES if one.name in lines]
            PAGE.write_text(HEAD + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
