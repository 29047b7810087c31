"""`make dist`: what a release consists of, made of the commit that is checked out, into `dist/`.

    compos_linux-VERSION.tar.gz           the source distribution
    compos_linux-VERSION-py3-none-any.whl the wheel, with init for all architectures
    compos.pyz                            one file for Linux machines with Python 3.11 to 3.14, with
                                          what signs and verifies
    SHA256SUMS

Each is made twice, in two folders and with empty compiler caches, and must have the same bytes.
Then each is installed or run with an empty home, builds examples/web.yml, and the last one boots
it. `--no-check` leaves that out.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.version import ROOT

__all__ = ["main"]

DIST = ROOT / "dist"
RUNTIME = ROOT / "requirements.lock"
DEVELOPMENT = ROOT / "requirements-dev.lock"
SIGNATURES = ("cffi", "cryptography", "pycparser", "rfc3161-client")
"""The extra `signatures`, with what it needs."""
PYTHONS = ("11", "12", "13", "14")
MACHINES = ("x86_64", "aarch64")
"""Machines for which all of compos's native dependencies have wheels; there are none for riscv64,
where the wheel of compos is installed beside what pip compiles."""

Maker = Callable[[Path], Path]


def main() -> int:
    """Make, compare and check; returns the exit status."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    environment = {**os.environ, "SOURCE_DATE_EPOCH": commit_time(), "COMPOS_ALL_ARCHES": "1"}
    source = made_twice(lambda folder: source_distribution(folder, environment))
    wheel = made_twice(lambda folder: built_wheel(folder, source, environment))
    program = made_twice(lambda folder: one_file(folder, wheel, environment))
    files = (source, wheel, program)
    sums = "".join(f"{digest(path)}  {path.name}\n" for path in files)
    (DIST / "SHA256SUMS").write_text(sums)
    print(sums, end="")
    if "--no-check" not in sys.argv[1:]:
        check(source, wheel, program)
    return 0


def commit_time() -> str:
    """When the commit was made, in seconds since 1970: the time of every file."""
    command = ["git", "log", "-1", "--format=%ct"]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def made_twice(make: Maker) -> Path:
    """What `make` puts into a folder, moved to `dist`; leaves the program when a second one
    differs."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        made, again = make(Path(first)), make(Path(second))
        if made.name != again.name or digest(made) != digest(again):
            sys.exit(f"error: {made.name} is not reproducible: {digest(made)}, {digest(again)}")
        return Path(shutil.move(made, DIST / made.name))


def digest(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_distribution(folder: Path, environment: Mapping[str, str]) -> Path:
    """Of a clone: neither changes nor other files of this checkout get in."""
    clone = folder / "clone"
    run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone))
    return hatchling("sdist", clone, folder / "out", environment)


def built_wheel(folder: Path, source: Path, environment: Mapping[str, str]) -> Path:
    """Of the source distribution, which shows that this is whole."""
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(folder / "zig"), "ZIG_LOCAL_CACHE_DIR": str(folder / "z")}
    return hatchling(
        "wheel", unpacked(source, folder / "tree"), folder / "out", {**environment, **caches}
    )


def hatchling(target: str, tree: Path, out: Path, environment: Mapping[str, str]) -> Path:
    """Run the build back end of this environment, whose packages are locked."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    run(*command, cwd=tree, environment=environment)
    (made,) = out.iterdir()
    return made


def unpacked(source: Path, folder: Path) -> Path:
    """The source distribution's one folder."""
    with tarfile.open(source) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder)
    (tree,) = folder.iterdir()
    return tree


def one_file(folder: Path, wheel: Path, environment: Mapping[str, str]) -> Path:
    """The wheel and the locked wheels that it needs, those of all machines and Pythons, as a PEX:
    it unpacks once below the user's cache what fits where it runs."""
    name, version = wheel.name.split("-")[:2]
    requirements = folder / "requirements.txt"
    own = f"{name.replace('_', '-')}[signatures]=={version} --hash=sha256:{digest(wheel)}\n"
    requirements.write_text(RUNTIME.read_text() + signature_pins() + own)
    platforms = [
        f"--platform=manylinux2014_{machine}-cp-3.{python}.0-cp3{python}"
        for machine in MACHINES
        for python in PYTHONS
    ]
    program = folder / "compos.pyz"
    run(
        *(sys.executable, "-m", "pex", "--no-build", "--no-emit-warnings", *platforms),
        *("-r", str(requirements), "--find-links", str(wheel.parent)),
        *("--venv", "prepend", "--python-shebang", "/usr/bin/env python3"),
        *("--console-script", "compos", "-o", str(program)),
        # Downloads are kept for the second time: their hashes are locked.
        environment={**environment, "PEX_ROOT": str(ROOT / "build" / "pex")},
    )
    return program


def signature_pins() -> str:
    """What the extra `signatures` needs, as the developers' lock has it: a person with one file has
    no pip to install it with."""
    entries = re.split(r"(?m)^(?=[a-z])", DEVELOPMENT.read_text())
    return "".join(entry for entry in entries if entry.split("==")[0] in SIGNATURES)


def check(source: Path, wheel: Path, program: Path) -> None:
    """Each builds examples/web.yml with nothing of this checkout and an empty home."""
    for made in (source, wheel, program):
        print(f"checking {made.name}", flush=True)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            home = folder / "home"
            home.mkdir()
            environment = {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8"}
            environment |= {key: os.environ[key] for key in PASSED_ON if key in os.environ}
            tree = unpacked(source, folder / "tree")
            if made == program:
                command = [sys.executable, str(made)]
                run(*command, "--version", environment=environment)
                run(*command, "keys", "new", "keys", cwd=folder, environment=environment)
                demo = [sys.executable, str(tree / "examples" / "demo.py"), *command]
                run(*demo, environment=environment)
            else:
                command = [installed(made, folder / "venv", environment)]
                run(*command, "--version", environment=environment)
                build = ["build", "--dir", str(folder), str(tree / "examples" / "web.yml")]
                run(*command, *build, cwd=tree / "examples", environment=environment)


PASSED_ON = ("PIP_CERT", "PIP_FIND_LINKS", "PIP_INDEX_URL", "SSL_CERT_FILE", "http_proxy")
"""How this machine reaches the network."""


def installed(made: Path, folder: Path, environment: Mapping[str, str]) -> str:
    """The command in a new virtual environment."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
    run(*pip, "--require-hashes", "-r", str(RUNTIME), environment=environment)
    if made.suffix != ".whl":
        locked = ["--require-hashes", "-r", str(DEVELOPMENT)]
        run(*pip, *locked, environment=environment)  # hatchling and zig
    run(*pip, "--no-deps", "--no-build-isolation", str(made), environment=environment)
    return str(folder / "bin" / "compos")


def run(*command: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> None:
    """Run a command; leaves the program when it fails."""
    done = subprocess.run(command, cwd=cwd, env=environment, check=False)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)}: status {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
