"""The table of system calls: against the profile that other people ship, and against the names that
libseccomp knows."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import pytest

from compos.compose.seccomp import ALLOWED, BY_CAPABILITY, REFUSED, profile
from compos.config.check import CAPABILITIES

THEIRS = Path("/usr/share/containers/seccomp.json")
"""Podman's default profile (Debian: golang-github-containers-common)."""

NAMESPACES = {"clone", "clone3", "setns", "unshare"}
MOUNTS = {
    *(
        "fsconfig",
        "fsmount",
        "fsopen",
        "fspick",
        "mount",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "pivot_root",
    ),
    *("umount", "umount2"),
}
KEYS = {"add_key", "keyctl", "request_key"}
STRICTER = {
    *NAMESPACES,
    *MOUNTS,
    *KEYS,
    # Podman leaves to the kernel's check of capabilities what Docker asks for them; io_uring passes
    # by the filter.
    *(
        "get_mempolicy",
        "mbind",
        "pidfd_getfd",
        "reboot",
        "set_mempolicy",
        "set_mempolicy_home_node",
        "syslog",
    ),
    *("io_uring_enter", "io_uring_register", "io_uring_setup"),
    # Filtered by arguments.
    *("personality", "socket"),
    # Other architectures' and no architecture's.
    *("s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr"),
    *("swapcontext", "syscall", "timerfd"),
}
"""What theirs allows to everybody and ours does not, as Docker's and containerd's do not."""

NEWER = {
    *(
        "cachestat",
        "fchmodat2",
        "futex_requeue",
        "futex_wait",
        "futex_waitv",
        "futex_wake",
        "map_shadow_stack",
        "mseal",
    ),
    *(
        "getxattrat",
        "listxattrat",
        "removexattrat",
        "setxattrat",
        "listmount",
        "statmount",
        "riscv_hwprobe",
        "uretprobe",
    ),
    *("riscv_flush_icache", "io_pgetevents", "io_pgetevents_time64", "vmsplice"),
}
"""What Docker's allows and Debian's older copy of Podman's does not know or refuses."""

OLDER = {"readdir", "sigaction", "sigpending", "sigsuspend"}
"""Calls of old 32-bit programs: Podman's allows them in Debian 12, and no longer in Debian 13."""


def theirs(capabilities: set[str]) -> set[str]:
    """What Podman's profile allows with `capabilities`, whatever the arguments."""
    rules = json.loads(THEIRS.read_text())["syscalls"]
    return {
        name
        for rule in rules
        if rule["action"] == "SCMP_ACT_ALLOW"
        and set(rule.get("includes", {}).get("caps", ())) <= capabilities
        and not set(rule.get("excludes", {}).get("caps", ())) & capabilities
        for name in rule["names"]
    }


def ours(capabilities: set[str], architecture: str = "amd64") -> list[dict[str, Any]]:
    document: dict[str, Any] = json.loads(profile(capabilities, architecture))
    assert document["defaultAction"] == "SCMP_ACT_ERRNO"
    return list(document["syscalls"])


def allowed(rules: list[dict[str, Any]]) -> set[str]:
    return {
        name
        for rule in rules
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }


def test_without_capabilities_it_is_podmans_without_what_docker_refuses() -> None:
    mine = allowed(ours(set()))
    assert mine - theirs(set()) <= NEWER | OLDER
    assert theirs(set()) - mine <= STRICTER


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_capability_opens_at_least_what_it_opens_there(capability: str) -> None:
    mine = allowed(ours({capability}))
    assert theirs({capability}) - theirs(set()) - mine <= {"query_module"}
    assert mine - allowed(ours(set())) == BY_CAPABILITY.get(capability, frozenset())


def test_a_call_is_in_one_of_the_tables() -> None:
    by_capability = frozenset().union(*BY_CAPABILITY.values())
    assert not ALLOWED & by_capability
    assert not ALLOWED & REFUSED
    assert not by_capability & REFUSED


def test_libseccomp_knows_the_names() -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    names = ALLOWED | REFUSED | frozenset().union(*BY_CAPABILITY.values())
    unknown = {name for name in names if library.seccomp_syscall_resolve_name(name.encode()) == -1}
    # Calls of Linux 6.8 and later, which libseccomp 2.5 does not know.
    later = {"lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr", "open_tree_attr"}
    assert unknown <= NEWER | later


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("amd64", ["X86_64", "X86", "X32"]),
        ("386", ["X86_64", "X86", "X32"]),
        ("arm64", ["AARCH64", "ARM"]),
        ("riscv64", ["RISCV64"]),
        ("s390x", None),
    ],
)
def test_architectures(architecture: str, expected: list[str] | None) -> None:
    document = json.loads(profile((), architecture))
    names = [f"SCMP_ARCH_{name}" for name in expected] if expected else None
    assert document.get("architectures") == names


def test_arguments() -> None:
    rules = ours(set())
    clone = next(rule for rule in rules if rule["names"] == ["clone"])
    assert clone["args"] == [
        {"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ", "valueTwo": 0}
    ]
    assert (
        next(rule for rule in ours(set(), "s390x") if rule["names"] == ["clone"])["args"][0][
            "index"
        ]
        == 1
    )
    families = [rule["args"][0] for rule in rules if rule["names"] == ["socket"]]
    # No comparison that a number with more than 32 bits passes.
    assert {argument["op"] for argument in families} == {"SCMP_CMP_LT", "SCMP_CMP_EQ"}
    assert not [a for a in families if a["value"] in (38, 40) and a["op"] == "SCMP_CMP_EQ"]
    assert [argument["value"] for argument in families if argument["op"] == "SCMP_CMP_LT"] == [38]


def test_unknown_calls_and_clone3_are_not_implemented() -> None:
    document = json.loads(profile((), "amd64"))
    assert document["defaultErrnoRet"] == 38
    assert "clone3" not in {name for rule in document["syscalls"] for name in rule["names"]}
    refused = document["syscalls"][-1]
    assert (refused["action"], refused["errnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert {"bpf", "keyctl", "mount", "unshare", "setns", "io_uring_setup"} <= set(refused["names"])


def test_it_is_small_and_always_the_same() -> None:
    assert len(profile((), "amd64")) < 8192
    assert profile({"CAP_KILL", "CAP_CHOWN"}, "amd64") == profile((), "amd64")
    assert profile(("CAP_BPF", "CAP_SYSLOG"), "amd64") == profile(
        ("CAP_SYSLOG", "CAP_BPF"), "amd64"
    )
