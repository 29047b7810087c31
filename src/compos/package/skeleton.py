"""A new package's folder: a recipe, a program, a README, an example system and a test that passes.

May touch: the folder, which must not exist yet.
"""

from __future__ import annotations

import re
from pathlib import Path

from compos.errors import PackageError
from compos.image.reference import Reference
from compos.package.bricks import ORG, bricks_folder
from compos.package.recipe import load_recipe

__all__ = ["create_package"]

NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
MAX_NAME = 64
"""Characters. The name is also a program's, a container's and a file's."""

BUILD = """\
# Greets whoever /etc/NAME.conf names. Say here what the package is for; it needs no capabilities.
image: NAME
org: ORG
tag: v1
entrypoint: [/usr/bin/NAME]
# What every container of this image gets, unless the system's YAML says otherwise.
config:
  binds: ["/etc/NAME.conf:/etc/NAME.conf:ro"]
# Files out of Debian packages. Libraries that they need come along.
debian:
  packages: [busybox-static]
  keep: [usr/bin/busybox]
  move: {usr/bin/busybox: bin/busybox}
links:
  bin/busybox: [bin/cat, bin/sh]
# The package's own files.
files:
  - {path: usr/bin/NAME, source: NAME.sh, mode: "0755"}
"""

PROGRAM = """\
#!/bin/sh
# Greet whoever /etc/NAME.conf names.
set -eu
echo "NAME: hello, $(cat /etc/NAME.conf)"
"""

README = """\
# NAME

Greets somebody at boot.

| input | meaning |
|---|---|
| `/etc/NAME.conf` | whom to greet |

```yaml
onboot:
  - {name: NAME, image: "ORG/NAME:v1"}
files:
  - {path: etc/NAME.conf, contents: everybody, mode: "0644"}
```

`./test` builds the package and the system in `example.yml`, boots it in QEMU and looks at its
console.
"""

EXAMPLE = """\
# A system that runs NAME and powers off.
kernel:
  image: KERNEL
  cmdline: "console=ttyS0 panic=-1"
  modules: auto
arch:
  arm64: {kernel: {cmdline: "console=ttyAMA0 panic=-1"}}
init: [INIT, CRUN]
onboot:
  # The image that this folder makes; it is built when it is missing or the folder has changed.
  - {name: NAME, image: "@pkg:."}
services:
  - {name: poweroff, image: POWEROFF, command: [/bin/sh, /poweroff.sh, "0"]}
files:
  - {path: etc/NAME.conf, contents: everybody, mode: "0644"}
"""

TEST = """\
#!/bin/sh
# Build the example system, boot it, and look for what NAME has to say.
set -eu
cd "$(dirname "$0")"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
compos build --dir "$made" --name system example.yml
timeout 300 compos run qemu --state "$made/state" "$made/system" < /dev/null > "$made/console" ||
    echo "the guest has not powered off by itself"
if grep -q "NAME: hello, everybody" "$made/console"; then
    echo "NAME works"
else
    cat "$made/console"
    echo "NAME has not greeted anybody" >&2
    exit 1
fi
"""

FILES = {
    "build.yml": BUILD,
    "NAME.sh": PROGRAM,
    "README.md": README,
    "example.yml": EXAMPLE,
    "test": TEST,
}


def create_package(folder: Path, org: str) -> list[Path]:
    """Create `folder`, whose last component is the package's name, and return its files. Raises
    `PackageError`: `package-name`, `package-exists`, `package-folder`."""
    name = folder.name
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise PackageError(
            "package-name",
            f"{name!r} cannot name a package",
            place=str(folder),
            hint="Use lower-case letters and digits, with single hyphens between them.",
        )
    if Reference.find(f"{org}/{name}:v1") is None:
        raise PackageError(
            "package-name",
            f"{org!r} is no organisation",
            place=str(folder),
            hint="Write --org NAME, or --org HOST[:PORT]/PATH for a registry.",
        )
    words = {"NAME": name, "ORG": org, **_bricks()}
    made = {folder / _filled(path, words): _filled(text, words) for path, text in FILES.items()}
    try:
        folder.mkdir()
        for path, text in made.items():
            path.write_text(text)
        (folder / "test").chmod(0o755)
    except FileExistsError as error:
        raise PackageError(
            "package-exists",
            "there is something of this name already",
            place=str(folder),
            hint="Choose another name, or remove it.",
        ) from error
    except OSError as error:
        raise PackageError(
            "package-folder",
            f"the package cannot be written: {error.strerror}",
            place=str(folder),
            hint="Choose a folder that exists and that you can write to.",
        ) from error
    return list(made)


def _bricks() -> dict[str, str]:
    """The bricks of the example, with the tags that they have in this version of compos."""
    names = ("kernel", "init", "crun", "poweroff")
    return {
        name.upper(): f"{ORG}/{name}:{load_recipe(bricks_folder() / name).tag}" for name in names
    }


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(rf"\b({'|'.join(words)})\b", lambda match: words[match[1]], text)
