"""Where a boot's time goes: instructions from the kernel's first to the first service, by stage.

QEMU counts the guest's instructions and takes them for its clock (`-icount`), a nanosecond each, on
one processor. So the kernel's and init's own times say how much each stage runs: the same figures
on a busy machine as on an idle one. What would run at once on two processors stands one after the
other here.
"""

from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import replace
from typing import NamedTuple

from compos.run.virtual_machine import VirtualMachine, arguments

SECONDS = 600
"""Until a guest is given up; counting makes it ten times as slow."""

COUNTED = ("-icount", "shift=0,sleep=off")

WITHOUT_TESTS = "cryptomgr.notests=1"
"""Of the kernel: no tests of its cryptographic algorithms."""


WITHOUT_JITTER = "initcall_blacklist=jent_mod_init"
"""Of the kernel: no generator of random numbers from jitter, which is tested when it starts."""

PROFILE = "\n## Where the time goes\n\n"

HEAD = """\
Instructions on one processor (QEMU's `-icount`), in thousands of millions, from the kernel's first
to the start of the service. Columns: containerd and runc from an initrd; the same with
`cryptomgr.notests=1` on the kernel's command line, without which Debian's kernel tests its
cryptographic algorithms at every boot; the same with `--compress none`, an initrd three times as
large with nothing to decompress; crun alone; the same with `initcall_blacklist=jent_mod_init`, so
that the kernel does not start its generator of random numbers from jitter, which virtual machines
with a virtio generator do not need.

| stage | containerd | without tests | uncompressed | crun alone | without jitter |
|---|---|---|---|---|---|
"""


TAIL = """\

The first three rows are the kernel's own: three quarters of what a system with crun alone takes.
The goals (6.5 s with containerd and runc, 5 with crun, 3.6 with crun alone, on a machine where
firmware and kernel take 2.5) are not reached with Debian's kernel for clouds; what is left of ours
is spread over init's drivers, three containers and containerd.
"""


class Stage(NamedTuple):
    """What happens until a line of the console that has a time in it."""

    title: str
    end: str


STAGES = (
    Stage("kernel, until it unpacks the initrd", r"^\[ *([\d.]+)\] Trying to unpack rootfs"),
    Stage(
        "unpacking the initrd, while built-in drivers start",
        r"^\[ *([\d.]+)\] Freeing initrd memory",
    ),
    Stage("kernel, until init runs", r"^\[ *([\d.]+)\] Run /init"),
    Stage("init: mounts, drivers, containerd started", r"boot done at ([\d.]+) s"),
    Stage("`onboot`: sysctl", r"000-sysctl done at ([\d.]+) s"),
    Stage("`onboot`: dhcpcd", r"001-dhcpcd done at ([\d.]+) s"),
    Stage("the service nginx, containerd included", r"service nginx started at ([\d.]+) s"),
)
"""In the order in which they end."""


def times(machine: VirtualMachine, *parameters: str) -> list[float]:
    """When each of `STAGES` ends in a boot of `machine`, in thousands of millions of instructions.
    Raises `RuntimeError` if one does not."""
    counted = replace(
        machine,
        accelerator="tcg,thread=single",
        cpus=1,
        cmdline=" ".join(("console=ttyS0 ignore_loglevel printk.time=1", *parameters)),
    )
    ends: list[float] = []
    with subprocess.Popen(
        [*arguments(counted), *COUNTED],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as guest:
        limit = threading.Timer(SECONDS, guest.kill)
        limit.start()
        assert guest.stdout is not None
        for line in guest.stdout:
            if found := re.search(STAGES[len(ends)].end, line):
                ends.append(float(found[1]))
                if len(ends) == len(STAGES):
                    break
        guest.kill()
        limit.cancel()
    if len(ends) < len(STAGES):
        raise RuntimeError(f"no end of: {STAGES[len(ends)].title}")
    return ends


def profile(machine: VirtualMachine, uncompressed: VirtualMachine, direct: VirtualMachine) -> str:
    """A table in Markdown: the stages of a boot of `machine`, of the same system with an
    uncompressed initrd, and of `direct`, which has no containerd."""
    boots = [
        times(machine),
        times(machine, WITHOUT_TESTS),
        times(uncompressed, WITHOUT_TESTS),
        times(direct, WITHOUT_TESTS),
        times(direct, WITHOUT_TESTS, WITHOUT_JITTER),
    ]
    page = PROFILE + HEAD
    begins = [0.0] * len(boots)
    for number, stage in enumerate(STAGES):
        ends = [boot[number] for boot in boots]
        counts = [end - begin for begin, end in zip(begins, ends, strict=True)]
        page += f"| {stage.title} | {' | '.join(f'{count:.2f}' for count in counts)} |\n"
        begins = ends
    return page + f"| all | {' | '.join(f'{end:.2f}' for end in begins)} |\n{TAIL}"
