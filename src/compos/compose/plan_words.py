"""The words of the boot plan: how many fields each has, where it may stand, and what init does.

docs/plan-format.md and init's table (`plan_words.h`) are made of it by `docs/plan_format.py`. The
words of keys about services stand with those keys, in `config.service_keys`.
"""

from __future__ import annotations

from compos.config.kinds import PlanWord
from compos.config.service_keys import SERVICE_WORDS

__all__ = ["WORDS"]

_OWN = (
    PlanWord(
        "stage",
        ("name: `boot`, `onboot`, `services`, `shutdown`",),
        outside="begins a stage; each at most once, in this order",
    ),
    PlanWord(
        "mount",
        ("source", "target", "type", "options"),
        outside=(
            "mount; creates the target directory (0755). Known fstab options become flags, all "
            "others are passed as data. On failure, prints a message and continues. In `boot`, a "
            "file system that is already mounted there (`EBUSY`) is not a failure"
        ),
        inside=(
            "as above; a relative target is below `BUNDLE/rootfs`; creates the directories named "
            "by `upperdir=` and `workdir=`. Failure aborts this container"
        ),
    ),
    PlanWord(
        "mount?",
        ("source", "target", "type", "options"),
        outside=(
            "as `mount`, but silent if the kernel does not support the file system or the target "
            "cannot be created"
        ),
        inside="as `mount`, but silent as above",
    ),
    PlanWord(
        "directory",
        ("mode (octal)", "path"),
        outside="`mkdir -p`; the mode applies to the last component",
        inside="relative paths below `BUNDLE/rootfs`",
    ),
    PlanWord(
        "symlink",
        ("target", "path"),
        outside="creates the link unless the path exists",
    ),
    PlanWord(
        "node",
        ("mode (octal)", "`c` or `b`", "major", "minor", "path"),
        outside="creates the device node if it is missing",
    ),
    PlanWord(
        "coldplug",
        (),
        outside="loads the modules for every `/sys/bus/*/devices/*/modalias`",
    ),
    PlanWord(
        "coldplug-early",
        (),
        outside=(
            "the same, together with the modules of the `modules` lines. The drivers of PCI disk "
            "controllers follow in a background process, because they wait for their ports and "
            "block every other module load meanwhile; in a plan without a `disks` line, when "
            "services have started"
        ),
    ),
    PlanWord(
        "modules",
        ("names, separated by spaces",),
        outside=(
            "modules that will be needed later: `coldplug-early` loads them along with the "
            "drivers, wherever the line is in the plan. A missing module is skipped"
        ),
        inside=(
            "as above: what this container will need (its image's label `org.compos.modules`, "
            "`overlay` for a writable root)"
        ),
    ),
    PlanWord(
        "disks",
        (),
        outside=(
            "waits for that process; written before the first script or container that may "
            "access disks (`/dev`, `/sys`, block devices)"
        ),
    ),
    PlanWord(
        "module",
        ("name",),
        outside="loads a module with its dependencies; a built-in module is not a failure",
    ),
    PlanWord(
        "clock",
        (),
        outside="sets the system clock from the clock chip `rtc0` (UTC) unless the kernel did so",
    ),
    PlanWord(
        "loopback",
        (),
        outside="brings `lo` up with 127.0.0.1/8",
    ),
    PlanWord(
        "limit",
        ("resource (`nofile`, `nproc`, ...)", "soft", "hard (number or `unlimited`)"),
        outside="sets a limit that everything later inherits",
    ),
    PlanWord(
        "hostname",
        (),
        outside="sets it from `/etc/hostname`, else `linuxkit-` and eth0's MAC as LinuxKit does",
    ),
    PlanWord(
        "resolvconf",
        (),
        outside=(
            "if `/etc/resolv.conf` is a symlink: creates its target's directory and, if missing, "
            "an empty file (0644)"
        ),
    ),
    PlanWord(
        "issue",
        (),
        outside="appends `/etc/issue` to each `console=` device of the kernel command line",
    ),
    PlanWord(
        "script",
        ("path",),
        outside="runs an executable without arguments and waits for it",
    ),
    PlanWord(
        "volume",
        ("name",),
        outside=(
            "mounts a tmpfs on `/containers/volumes/NAME/tmp`, creates `upper` and `work` in it, "
            "and mounts an overlay on `merged`"
        ),
    ),
    PlanWord(
        "volume-readonly",
        ("name",),
        outside="binds `lower` on `merged`, then remounts it read-only",
    ),
    PlanWord(
        "container",
        ("id", "bundle directory", "containerd namespace (empty in `onboot` and `shutdown`)"),
        outside=(
            "a container; `onboot` and `shutdown` run it with runc to completion, `services` "
            "starts it under containerd, or with the runtime if there is no `containerd` line"
        ),
    ),
    PlanWord(
        "containerd",
        ("program", "socket"),
        outside=(
            "starts containerd without waiting; from the stage `services` on, containerd is "
            "watched and restarted when it dies. Not allowed in `shutdown`"
        ),
    ),
    PlanWord(
        "containerd-options",
        ("options", "stdout", "stderr"),
        outside=(
            "for the `containerd` line that follows: options, split at spaces; for each stream, "
            "`stdout` or `stderr` (the console), or a path to append to; if empty, "
            "`/var/log/containerd.log`"
        ),
    ),
    PlanWord(
        "runtime",
        ("path",),
        outside=(
            "the OCI runtime that runs containers from here on (default `/usr/bin/runc`); "
            "containerd's shim uses it too"
        ),
    ),
    PlanWord(
        "namespace",
        ("kind (`net`, `ipc`, `uts`)", "path"),
        outside=(
            "creates a namespace and binds it to a path, by which containers join it; in a new "
            "network namespace the loopback interface is up"
        ),
    ),
    PlanWord(
        "cgroup",
        ("name",),
        inside="`mkdir -p /sys/fs/cgroup/NAME`",
    ),
    PlanWord(
        "rootpath",
        ("offset", "length"),
        inside=(
            'the bytes of `config.json` that hold the JSON string `"rootfs"`; for containerd, '
            "and with `seccomp`, init replaces them with the absolute `BUNDLE/rootfs`"
        ),
    ),
    PlanWord(
        "seccomp",
        ("offset", "path"),
        inside=(
            "a seccomp profile (JSON), which init inserts into `config.json` at this offset as "
            'the first member of `linux`: `"seccomp":PROFILE,`. Several containers can share a '
            "file. Without containerd, the runtime reads the result from "
            "`/run/compos/bundles/ID`. If the profile cannot be read, the container does not start"
        ),
    ),
    PlanWord(
        "interface",
        ("name", "link type (may be empty)", "peer", "`root` or empty"),
        inside=(
            "after create, before start: creates or moves a network interface, as in LinuxKit's "
            "`runtime.json`"
        ),
    ),
    PlanWord(
        "no-new-privileges",
        (),
        inside="`test` gains no privileges through setuid programs, as the container itself",
    ),
    PlanWord(
        "bindns",
        ("kind (`cgroup ipc mnt net pid user uts`)", "path"),
        inside="after create, before start: binds the process's namespace to the path",
    ),
)

WORDS = {word.name: word for word in (*_OWN, *SERVICE_WORDS)}
