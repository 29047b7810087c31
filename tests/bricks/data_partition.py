"""Drivers of the data partition's program: what each is made of, and what it is asked, step by
step."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.bricks.compiler import BRICKS, DRIVERS, compile_sources

__all__ = ["FOLDERS", "OTHERS", "SEAL", "Driver"]

SEAL = (
    *("aes", "aes128", "base64", "hmac256", "p256", "recovery", "rsa2048", "sealed20"),
    *("session", "sha1", "signers", "tpm12", "tpm20"),
)
"""What seals, below `data-partition/src/seal`."""
OTHERS = (
    *("attest/src/tpm/tpm", "disk/src/disk/bytes", "disk/src/disk/sha256"),
    *("init/src/base/failure", "init/src/base/files"),
    *("metadata/src/json/json", "metadata/src/json/utf8"),
)
"""What that is made of, below the bricks."""
FOLDERS = ("data-partition/src", "attest/src", "disk/src", "metadata/src", "init/src")


class Driver:
    """The driver `name`, made of its own source and of `parts`, below the bricks."""

    def __init__(self, name: str, parts: Sequence[str]) -> None:
        self._name, self._parts = name, parts

    def program(self) -> Path:
        """Compiled, unless it is already."""
        sources = [DRIVERS / "data-partition" / f"{self._name}_driver.c"]
        sources += [BRICKS / f"{name}.c" for name in self._parts]
        return compile_sources(self._name, sources, [f"-I{BRICKS / one}" for one in FOLDERS])

    def ask(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """A step, whatever comes of it."""
        command = [str(self.program()), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def told(self, *arguments: str | Path) -> list[str]:
        """The lines that a step prints, which must work."""
        done = self.ask(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def refusal(self, *arguments: str | Path) -> str:
        """Why a step does not work, which must not."""
        done = self.ask(*arguments)
        assert done.returncode == 1, done.stderr
        return done.stderr.strip()
