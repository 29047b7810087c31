"""Debian's cosign as the judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.trust.trixie import program

__all__ = ["Cosign"]


class Cosign:
    """cosign in a folder of its own, in which its key pair lies (`key_pair`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "cosign"
        self.folder.mkdir()
        self._program = program("cosign")

    def key_pair(self) -> tuple[Path, Path]:
        """A new key pair, encrypted as cosign does it; the password is `secret`."""
        self._run("generate-key-pair")
        return self.folder / "cosign.key", self.folder / "cosign.pub"

    def registry(self, verb: str, *arguments: str, **environment: str) -> str:
        """Run a verb that talks to a registry on loopback."""
        return self._run(verb, "--allow-http-registry", *arguments, **environment)

    def files(self, verb: str, *arguments: str) -> str:
        """Run a verb for files."""
        return self._run(verb, *arguments)

    def _run(self, verb: str, *arguments: str, **environment: str) -> str:
        """Raises `CalledProcessError`."""
        done = subprocess.run(
            [*self._program, verb, *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                "COSIGN_PASSWORD": "secret",
                "HOME": str(self.folder),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            print(done.stderr)
            raise subprocess.CalledProcessError(
                done.returncode, verb, output=done.stdout, stderr=done.stderr
            )
        return done.stdout
