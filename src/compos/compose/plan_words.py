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
            "mount; the target directory is made (0755). Known fstab words in the comma list "
            "become flags, others are passed as data. Failure: message, go on. In `boot` a "
            "filesystem that is mounted there already (`EBUSY`) is fine"
        ),
        inside=(
            "as above; a relative target is below `BUNDLE/rootfs`; directories named by "
            "`upperdir=` and `workdir=` are made. Failure aborts this container"
        ),
    ),
    PlanWord(
        "mount?",
        ("source", "target", "type", "options"),
        outside=(
            "as `mount`, but silent when the kernel has no such filesystem or the target cannot "
            "be made"
        ),
        inside="as `mount`, but silent as above",
    ),
    PlanWord(
        "directory",
        ("mode (octal)", "path"),
        outside="`mkdir -p`, the last component gets the mode",
        inside="relative paths below `BUNDLE/rootfs`",
    ),
    PlanWord(
        "symlink",
        ("target", "path"),
        outside="make it if nothing is there",
    ),
    PlanWord(
        "node",
        ("mode (octal)", "`c` or `b`", "major", "minor", "path"),
        outside="device node if missing",
    ),
    PlanWord(
        "coldplug",
        (),
        outside="load the modules of every `/sys/bus/*/devices/*/modalias`",
    ),
    PlanWord(
        "coldplug-early",
        (),
        outside=(
            "the same, with what the `modules` lines name; then drivers of PCI disk controllers, "
            "by a process that goes on, because they wait for their ports, and with them whoever "
            "loads another module"
        ),
    ),
    PlanWord(
        "modules",
        ("names, with blanks between them",),
        outside=(
            "modules that somebody will ask for: `coldplug-early` loads them beside the drivers, "
            "wherever in the plan the line stands. One that is not there is passed over"
        ),
        inside=(
            "as above: what this container will ask for (its image's label `org.compos.modules`, "
            "`overlay` for a writable root)"
        ),
    ),
    PlanWord(
        "disks",
        (),
        outside=(
            "wait for that process: before the first script or container that may see disks "
            "(`/dev`, `/sys`, block devices)"
        ),
    ),
    PlanWord(
        "module",
        ("name",),
        outside="load a module with its dependencies; a built-in one is fine",
    ),
    PlanWord(
        "clock",
        (),
        outside="set the system clock from the clock chip `rtc0` (UTC) when the kernel has not",
    ),
    PlanWord(
        "loopback",
        (),
        outside="127.0.0.1/8 on `lo`, up",
    ),
    PlanWord(
        "limit",
        ("resource (`nofile`, `nproc`, ...)", "soft", "hard (number or `unlimited`)"),
        outside="inherited by everything later",
    ),
    PlanWord(
        "hostname",
        (),
        outside="from `/etc/hostname`, else `linuxkit-` + MAC of eth0 as LinuxKit does",
    ),
    PlanWord(
        "resolvconf",
        (),
        outside=(
            "if `/etc/resolv.conf` is a symlink: make its target's directory and, if missing, an "
            "empty file (0644)"
        ),
    ),
    PlanWord(
        "issue",
        (),
        outside="append `/etc/issue` to each `console=` device of the kernel command line",
    ),
    PlanWord(
        "script",
        ("path",),
        outside="run an executable without arguments and wait",
    ),
    PlanWord(
        "volume",
        ("name",),
        outside=(
            "tmpfs on `/containers/volumes/NAME/tmp`, `upper` and `work` in it, overlay on `merged`"
        ),
    ),
    PlanWord(
        "volume-readonly",
        ("name",),
        outside="bind `lower` on `merged`, then remount read-only",
    ),
    PlanWord(
        "container",
        ("id", "bundle directory", "containerd namespace (empty in `onboot` and `shutdown`)"),
        outside=(
            "a container; `onboot` and `shutdown` run it with runc to its end, `services` starts "
            "it under containerd, or with the runtime where there is no `containerd` line"
        ),
    ),
    PlanWord(
        "containerd",
        ("program", "socket"),
        outside=(
            "start containerd, and go on; from the stage `services` on it is watched, and started"
            " again when it dies. Not in `shutdown`"
        ),
    ),
    PlanWord(
        "containerd-options",
        ("options", "stdout", "stderr"),
        outside=(
            "for the `containerd` line behind it: options, split at spaces; `stdout`, `stderr` "
            "(the console), or a path to append to; empty: `/var/log/containerd.log`"
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
            "make a namespace that containers join by path, bound there; a new network has its "
            "loopback up"
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
            'bytes of `config.json` that hold the JSON string `"rootfs"`; for containerd, and '
            "with `seccomp`, init puts the absolute `BUNDLE/rootfs` there"
        ),
    ),
    PlanWord(
        "seccomp",
        ("offset", "path"),
        inside=(
            "a seccomp profile (JSON), which init puts into `config.json` at this place as the "
            'first member of `linux`: `"seccomp":PROFILE,`. Many containers share one file. A '
            "runtime without containerd gets the whole in `/run/compos/bundles/ID`. A container "
            "whose profile cannot be read does not start"
        ),
    ),
    PlanWord(
        "interface",
        ("name", "link type (may be empty)", "peer", "`root` or empty"),
        inside=(
            "after create, before start: make or move a network interface, as in LinuxKit's "
            "`runtime.json`"
        ),
    ),
    PlanWord(
        "no-new-privileges",
        (),
        inside="what `test` runs gains nothing by a setuid program, as the container itself",
    ),
    PlanWord(
        "bindns",
        ("kind (`cgroup ipc mnt net pid user uts`)", "path"),
        inside="after create, before start: bind the process's namespace there",
    ),
)

WORDS = {word.name: word for word in (*_OWN, *SERVICE_WORDS)}
