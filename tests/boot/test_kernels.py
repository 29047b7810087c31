"""A module built outside of the kernel's tree, as `docs/kernels.md` says, loaded in a guest; and
the same module for another kernel, which the build refuses. Parameters of modules that init
loads."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.conftest import ROOT, STORE
from tests.guest import Guest
from tests.machine import leave_out

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

EXAMPLE = ROOT / "examples" / "kernel-module"

SYSTEM = """
kernel:
  image: "@pkg:FOLDER/kernel"
  cmdline: "console=ttyS0 panic=-1 virtio_net.napi_tx=0"
  modules: [auto, hello]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: modprobe
    image: compos/modprobe:v1
    command: [modprobe, hello, who=compos]
  - name: greet
    image: compos/busybox:v1
    command:
      - /bin/sh
      - -c
      - |
        cat /proc/hello
        echo guest >/proc/hello
        cat /proc/hello /proc/modules
        echo napi_tx: $(cat /sys/module/virtio_net/parameters/napi_tx)
services:
  - name: poweroff
    image: compos/poweroff:v1
    command: [/bin/sh, /poweroff.sh, "1"]
"""


def release() -> str:
    """The Debian release of this machine: its compiler builds for the kernel of the same one."""
    name = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    if name not in ("bookworm", "trixie"):
        leave_out(f"{name or 'this system'}: modules are built for a kernel of Debian 12 or 13")
    return name


@pytest.mark.wide
def test_a_module_of_ones_own(built: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "kernel-module"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("build", "hello.ko"))
    for recipe in folder.glob("*/build.yml"):
        recipe.write_text(recipe.read_text().replace("suite: trixie", f"suite: {release()}"))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "compos").write_text(f'#!/bin/sh\nexec {sys.executable} -m compos "$@"\n')
    (programs / "compos").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([f"{ROOT}/src", os.environ.get("PYTHONPATH", "")]),
        "COMPOS_CACHE": str(STORE),
    }
    done = subprocess.run(
        [folder / "build.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]

    prefix = built(SYSTEM.replace("FOLDER", str(folder)))
    with Guest(prefix, "--state", str(tmp_path / "state"), log=tmp_path / "console.log") as guest:
        assert guest.process.wait(180) == 0
        text = guest.text()
    assert text.index("\nHello, compos\n") < text.index("\nHello, guest\n")
    assert "\nnapi_tx: N\n" in text, "init loads modules with parameters of the command line"
    # O: built outside of the tree (kernel/module/procfs.c).
    assert re.search(r"^hello \d+ 0 - Live \S+ \(O?E?O?\)", text, re.MULTILINE), text[-3000:]

    # As if it had been built with the headers of a realtime kernel.
    module = folder / "kernel/hello.ko"
    module.write_bytes(re.sub(rb"(vermagic=\S+ SMP )preempt ", rb"\1REALTIM ", module.read_bytes()))
    build = [sys.executable, "-m", "compos", "pkg", "build", str(folder / "kernel")]
    done = subprocess.run(build, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error[brick-module]: the module's vermagic is" in done.stderr
