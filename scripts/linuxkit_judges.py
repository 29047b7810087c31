"""What is done with the YAML of a test case of LinuxKit, its text untouched, and what has to be
seen: stricter than the case's own script, which takes one line of success from anywhere.

A judge gets the case's folder, and a folder to work in; it returns what is missing, or nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from compos.cli.main import main as compos
from scripts.linuxkit_examples import build_stand_ins
from tests.boot.runtimes import until
from tests.guest import Guest

__all__ = [
    "PASSED",
    "Judge",
    "booted",
    "cidata",
    "files",
    "input_tar",
    "login",
    "mkimage",
    "refused",
    "twice",
    "verdict",
]

Judge = Callable[[Path, Path], str]

SECONDS = 900
"""Until a guest has powered itself off: without hardware acceleration, on a machine with other
work."""

PASSED, FAILED = r"(?m)PASSED\r?$", r"(?m)FAILED\r?$"
"""Lines that the containers print; those that `set -x` prints end otherwise."""


PLAIN = ("--compress", "none")
"""For initrds that boot: an emulated processor takes longest to decompress them."""


def _yaml(case: Path) -> Path:
    """The case's own, or that of its group."""
    own = case / "test.yml"
    return own if own.exists() else case.parent / "test.yml"


def _build(source: Path, work: Path, *options: str, name: str = "case") -> bool:
    build_stand_ins(source, "amd64")
    command = ["build", "-q", "--bricks-for", "linuxkit", "--allow-local-files"]
    return compos([*command, "--dir", str(work), "--name", name, *options, str(source)]) == 0


def _run(prefix: Path, work: Path, *options: str) -> str:
    """The console of a system that powers itself off; nothing if it did not."""
    log = work / f"{prefix.name}.log"
    state = ["--mem", "2048", "--cpus", "1", "--state", str(work / "state")]
    with Guest(prefix, *state, *options, log=log) as guest:
        try:
            status = guest.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            return ""
        return guest.text() if status == 0 else ""


def verdict(console: str, says: str, times: int) -> str:
    """What of it is missing; for nobody's failure may be hidden by another's success."""
    if not console:
        return "it did not power itself off"
    if re.search(FAILED, console):
        return "a container says FAILED"
    found = len(re.findall(says, console))
    return "" if found == times else f"`{says}` is said {found} times, not {times}"


def booted(
    *sizes: str,
    says: str = PASSED,
    times: int = 1,
    form: str = "kernel+initrd",
    suffix: str = "",
    first: str = "",
) -> Judge:
    """It powers itself off, and what it prints is there as often as there are containers that print
    it. It has disks of these `sizes`; with `first`, the YAML of that name was booted with them
    before, and the disk was enlarged by its own size."""

    def judge(case: Path, work: Path) -> str:
        disks = [work / f"disk{number}.img" for number in range(len(sizes))]
        options = []
        for disk, size in zip(disks, sizes, strict=True):
            options += ["--disk", f"file={disk},format=raw,size={size}"]
        if first:
            if not _build(case / first, work, *PLAIN):
                return f"{first} does not build"
            if not _run(work / "case", work, *options):
                return f"{first} did not power itself off"
            os.truncate(disks[0], 2 * disks[0].stat().st_size)
            options = ["--disk", f"file={disks[0]},format=raw"]
        source = case / "test.yml"
        if (template := case / "test.yml.in").exists():
            source.write_text(template.read_text().replace("@DEVICE@", "/dev/sda"))
        if not _build(source, work, "-f", form, *(PLAIN if form == "kernel+initrd" else ())):
            return "it does not build"
        return verdict(_run(work / f"case{suffix}", work, *options), says, times)

    return judge


def refused(case: Path, work: Path) -> str:
    """It does not build."""
    return "it builds" if _build(_yaml(case), work) else ""


def files(forms: dict[str, tuple[str, ...]]) -> Judge:
    """Each format leaves files with these suffixes. Others may stand beside them: Debian's kernels
    mount their root from a small initrd."""

    def judge(case: Path, work: Path) -> str:
        for form, suffixes in forms.items():
            folder = work / form
            folder.mkdir()
            if not _build(_yaml(case), folder, "-f", form):
                return f"{form} does not build"
            there = {path.name.removeprefix("case") for path in folder.iterdir()}
            if not there >= {*suffixes}:
                return f"{form} leaves {sorted(there)}"
            shutil.rmtree(folder)
        return ""

    return judge


def twice(form: str, *suffixes: str) -> Judge:
    """Two builds leave the same bytes."""

    def judge(case: Path, work: Path) -> str:
        for folder in ("one", "other"):
            (work / folder).mkdir()
            if not _build(_yaml(case), work / folder, "-f", form, "--no-sbom"):
                return "it does not build"
        for suffix in suffixes:
            one, other = (work / folder / f"case{suffix}" for folder in ("one", "other"))
            if one.read_bytes() != other.read_bytes():
                return f"{suffix} differs"
        if form != "tar":
            return ""
        wanted = {"LINUXKIT.source", "LINUXKIT.location"}
        with tarfile.open(work / "one/case.tar") as archive:
            lacking = [entry.name for entry in archive if not wanted <= {*entry.pax_headers}]
        return f"{lacking[:3]} do not say where they are from" if lacking else ""

    return judge


def input_tar(case: Path, work: Path) -> str:
    """A build that takes what it can from an earlier one's tar leaves the same bytes."""
    tar = ("-f", "tar", "--no-sbom")
    source = _yaml(case)
    if not _build(source, work, *tar, name="one"):
        return "it does not build"
    if not _build(source, work, *tar, "--input-tar", str(work / "one.tar"), name="other"):
        return "it does not build with --input-tar"
    same = (work / "one.tar").read_bytes() == (work / "other.tar").read_bytes()
    return "" if same else "the tars differ"


def cidata(case: Path, work: Path) -> str:
    """User data, of which the case looks for one word, on a CD's image that is the second disk."""
    image = work / "cidata.iso"
    (work / "user-data").write_text('{"one": {"perm": "0600", "content": "supersecret"}}')
    (work / "meta-data").write_text("instance-id: one\n")
    parts = [str(work / name) for name in ("user-data", "meta-data")]
    command = ["genisoimage", "-quiet", "-V", "cidata", "-J", "-r", "-o", str(image), *parts]
    subprocess.run(command, check=True, capture_output=True)
    if not _build(_yaml(case), work, *PLAIN):
        return "it does not build"
    disks = ["--disk", f"file={work}/disk.img,size=32M", "--disk", f"file={image},format=raw"]
    return verdict(_run(work / "case", work, *disks), PASSED, 1)


def mkimage(case: Path, work: Path) -> str:
    """One system makes a disk of the other, which then boots from it."""
    for name in ("run", "mkimage"):
        if not _build(case / f"{name}.yml", work, "-f", "kernel+initrd", name=name):
            return f"{name}.yml does not build"
    with tarfile.open(work / "tarball.img", "w") as archive:
        for name in ("run-kernel", "run-initrd.img", "run-cmdline"):
            archive.add(work / name, name)
    disk = work / "disk.qcow2"
    disks = ["--disk", f"file={disk},size=200M,format=qcow2"]
    disks += ["--disk", f"file={work}/tarball.img,format=raw"]
    if not _run(work / "mkimage", work, *disks):
        return "mkimage.yml did not power itself off"
    return verdict(_run(disk, work), "compos: loading", 1)


def login(case: Path, work: Path) -> str:
    """Somebody logs in with the password, containerd's client reaches it, and `poweroff -f` ends
    all. The case also pulls an image from Docker Hub."""
    if not _build(_yaml(case), work, *PLAIN):
        return "it does not build"
    state = ["--mem", "2048", "--cpus", "1", "--state", str(work / "state")]
    with Guest(work / "case", *state, log=work / "case.log") as guest:
        try:
            for shows, types in (("ogin: ", "root"), ("assword: ", "abcdefgh")):
                guest.expect(shows, SECONDS)
                guest.type(f"{types}\n")
            guest.prompt(SECONDS)
            if "containerd" not in guest.run("ctr version | grep -A1 Server; ctr plugins ls"):
                return "no answer to `ctr version`"
            guest.type("poweroff -f\n")
            until(guest, "Power down", SECONDS)
        except AssertionError as error:
            return str(error).partition("\n")[0]
    return ""
