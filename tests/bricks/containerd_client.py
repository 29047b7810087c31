"""init's containerd client under sanitizers, as a program."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["PARTS", "call"]

PARTS = (
    "containerd/containerd",
    "containerd/grpc",
    "containerd/hpack",
    "containerd/protobuf",
    "containerd/wire",
    "base/failure",
)


def call(driver: Path, *arguments: object) -> str:
    done = subprocess.run(
        [driver, *map(str, arguments)], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stderr == "", "the sanitizers have nothing to say"
    return done.stdout.removesuffix("\n")
