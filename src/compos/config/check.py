"""What types cannot say: names, numbers and paths inside strings, and keys that need or exclude
each other. Pure.

Each check yields complaints; where they stand is known to whoever calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from compos.config.model import Device, File, Healthcheck, Logging, Mount
from compos.config.quantities import MAX_COUNT, milliseconds, octets, signal_number, whole_number
from compos.errors import ImageError
from compos.image.reference import LOCAL_IMAGES
from compos.suggestion import did_you_mean

__all__ = [
    "ARCHITECTURES",
    "CAPABILITIES",
    "CONFINEMENTS",
    "FAILURES",
    "FAMILY",
    "LOG_DRIVERS",
    "OCTAL",
    "RLIMITS",
    "TEMPLATE",
    "VOLUME_NAME",
    "Check",
    "Complaint",
    "RecordCheck",
    "bind",
    "capabilities",
    "capability",
    "container_name",
    "device",
    "duration",
    "file",
    "health_test",
    "healthcheck",
    "host_name",
    "image",
    "included",
    "is_template",
    "logging",
    "mount",
    "mount_type",
    "octal",
    "optional_image",
    "platform",
    "regular_expression",
    "repeated_rlimits",
    "restart",
    "rlimit",
    "seccomp",
    "signal",
    "tmpfs",
    "volume_name",
]

_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG
    MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
    BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
CAPABILITIES = tuple(f"CAP_{name}" for name in _NAMES.split())
"""All 41, in the kernel's numbering (include/uapi/linux/capability.h)."""

_LIMITS = """
    CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO
    RTTIME
"""
RLIMITS = tuple(_LIMITS.split())
ARCHITECTURES = ("amd64", "arm64", "arm", "riscv64", "s390x", "ppc64le")
"""Architectures that can have a part of their own, in Go's names."""

OCTAL = "(0*[0-7]{1,4})?"
"""Permissions; empty is as if not given."""
VOLUME_NAME = "[a-z0-9_-]+"
MAX_NAME = 240
"""Bytes of a container's or a volume's name: the names of folders and files are made of it, which
NAME_MAX (255) bounds."""

MAX_HOST_NAME = 64
"""Bytes of a host name (`__NEW_UTS_LEN`, include/uapi/linux/utsname.h)."""

SOURCE_IS_TYPE = ("mqueue", "devpts", "proc", "sysfs", "cgroup")
TEMPLATE = "@pkg:"
"""Begins the name of an image that a package's folder makes."""

LOG_DRIVERS = ("file", "console", "kmsg", "syslog", "none")
LOG_OPTIONS = ("max-size", "max-file", "tag", "syslog-address")
CONFINEMENTS = ("default", "linuxkit")
FAMILY = "linuxkit"
"""What `--bricks-for` and `bricks:` say where our bricks replace LinuxKit's packages."""
SECCOMP = ("default", "unconfined")
FAILURES = ("continue", "halt", "reboot")
"""What a failed `onboot` container means."""


class Complaint(NamedTuple):
    """What is wrong with a value, and what to do; `key` is the key in question, in checks of whole
    records."""

    id: str
    message: str
    hint: str | None = None
    key: str = ""


Check = Callable[..., Iterator[Complaint]]
"""From a decoded value (a string, or a tuple of them) to complaints."""

RecordCheck = Callable[..., Iterator[Complaint]]
"""From an object of the model to complaints."""


def is_template(text: str) -> bool:
    """Whether an image's name is a template, `@pkg:FOLDER`: the image that a package's folder
    makes."""
    return text.startswith(TEMPLATE)


def optional_image(text: str) -> Iterator[Complaint]:
    """An image's name as far as it can be judged without parsing it; empty means none."""
    if text.startswith(LOCAL_IMAGES):
        if text in LOCAL_IMAGES:
            yield Complaint("config-image", f"{text!r} does not name a file", f"Write {text}PATH.")
    elif text.startswith("@"):
        if not is_template(text):
            yield Complaint(
                "config-template",
                f"unknown template {text.partition(':')[0]!r}",
                f"Write {TEMPLATE}FOLDER.",
            )
        elif text == TEMPLATE:
            yield Complaint(
                "config-template", "the template does not name a folder", f"Write {TEMPLATE}FOLDER."
            )
    elif "://" in text:
        yield Complaint(
            "config-image",
            "an image name cannot have a URL scheme",
            f"Write {text.partition('://')[2] or 'a name'!r}.",
        )
    elif any(character.isspace() or not character.isprintable() for character in text):
        yield Complaint(
            "config-image",
            f"{text!r} is not an image name: it contains spaces",
            "Remove the spaces.",
        )


def image(text: str) -> Iterator[Complaint]:
    """As `optional_image`, but there must be one."""
    if not text:
        yield Complaint("config-image", "the image name is empty", "Write the name of an image.")
    yield from optional_image(text)


def included(text: str) -> Iterator[Complaint]:
    """The name of a file or a URL."""
    if text in ("", "-"):
        yield Complaint(
            "config-include", f"{text!r} cannot be included", "Use a YAML file or a URL."
        )


def container_name(text: str) -> Iterator[Complaint]:
    """The name becomes a folder's name in the image (docs/linuxkit.md#N16)."""
    if (
        not text
        or text in (".", "..")
        or "/" in text
        or not text.isprintable()
        or len(text.encode()) > MAX_NAME
    ):
        yield Complaint(
            "config-name",
            f"{_short(text)} is not a valid container name",
            f"The name becomes a folder: use up to {MAX_NAME} letters, digits and -.",
        )


def volume_name(text: str) -> Iterator[Complaint]:
    """Lower-case letters, digits, `_` and `-`; not empty (docs/linuxkit.md#N19)."""
    if not re.fullmatch(VOLUME_NAME, text) or len(text) > MAX_NAME:
        hint = f"Use up to {MAX_NAME} lower-case letters, digits, - and _."
        yield Complaint("config-volume", f"{_short(text)} is not a valid volume name", hint)


def host_name(text: str) -> Iterator[Complaint]:
    """What the kernel takes; a runtime refuses a container with any other."""
    if len(text.encode()) > MAX_HOST_NAME or not text.isprintable() or " " in text:
        hint = f"Use up to {MAX_HOST_NAME} letters, digits, - and dots."
        yield Complaint("config-hostname", f"{_short(text)} is not a valid host name", hint)


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}…")


def platform(text: str) -> Iterator[Complaint]:
    """os[/arch[/variant]]."""
    parts = text.split("/")
    if len(parts) > 3 or not all(parts):
        yield Complaint(
            "config-platform",
            f"{text!r} is not a platform",
            "Write OS/ARCH or OS/ARCH/VARIANT: linux/arm64.",
        )


def bricks(text: str) -> Iterator[Complaint]:
    """LinuxKit's name, or a registry of bricks."""
    # Not at the top: hardly a YAML names one.
    from compos.image.registries.mirrors import registry_of_bricks

    if text == FAMILY:
        return
    try:
        registry_of_bricks(text)
    except ImageError:
        yield Complaint(
            "config-bricks",
            f"{text!r} is neither {FAMILY} nor a registry",
            f"Write {FAMILY}, or HOST[:PORT]/PATH for a registry that has bricks.",
        )


def octal(text: str) -> Iterator[Complaint]:
    """Permissions in octal."""
    if not re.fullmatch(OCTAL, text):
        yield Complaint(
            "config-mode",
            f"{text!r} is not an octal mode",
            "Write up to four digits from 0 to 7, in quotes: '0644'.",
        )


def capability(text: str) -> Iterator[Complaint]:
    """An exact name, or `all` or `none` in any case (docs/linuxkit.md#1.8)."""
    if text in CAPABILITIES or text.lower() in ("all", "none"):
        return
    hint = did_you_mean(
        f"CAP_{text.upper().removeprefix('CAP_')}",
        CAPABILITIES,
        "Use a name from capabilities(7), all or none.",
    )
    yield Complaint("config-capability", f"unknown capability {text!r}", hint)


def capabilities(names: Sequence[str]) -> Iterator[Complaint]:
    """`none` stands alone; `all` absorbs what stands beside it (docs/linuxkit.md#N18)."""
    if len(names) > 1 and any(name.lower() == "none" for name in names):
        yield Complaint(
            "config-capability",
            "none cannot be combined with other capabilities",
            "Remove either none or the others.",
        )


def rlimit(text: str) -> Iterator[Complaint]:
    """NAME,SOFT,HARD (docs/linuxkit.md#1.13); the message names the limit
    (docs/linuxkit.md#N22)."""
    parts = [part.strip() for part in text.split(",", 2)]
    if len(parts) != 3:
        yield Complaint(
            "config-rlimit",
            f"{text!r} is not NAME,SOFT,HARD",
            "Write all three: 'nofile,1024,4096'.",
        )
        return
    name = parts[0].upper().removeprefix("RLIMIT_")
    if name not in RLIMITS:
        hint = did_you_mean(name, RLIMITS, f"Use one of: {', '.join(sorted(RLIMITS))}.")
        yield Complaint("config-rlimit", f"unknown limit {parts[0]!r}", hint)
    for value in parts[1:]:
        number = re.fullmatch("0*([0-9]{1,20})", value, re.ASCII)
        if value.lower() != "unlimited" and not (number and int(number[1]) < 2**64):
            yield Complaint(
                "config-rlimit",
                f"{value!r} in {text!r} is not a valid limit",
                "Write a number or unlimited.",
            )


def repeated_rlimits(texts: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Where a limit stands again, and its name: the last one counts, if the runtime takes the
    container at all."""
    seen = set()
    for number, text in enumerate(texts):
        name = text.partition(",")[0].strip().lower().removeprefix("rlimit_")
        if name in seen:
            yield number, name
        seen.add(name)


def bind(text: str) -> Iterator[Complaint]:
    """SOURCE:DESTINATION[:OPTIONS] (docs/linuxkit.md#1.9)."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(parts[:2]):
        path = parts[0] or "/etc/x"
        yield Complaint(
            "config-mount",
            f"{text!r} is not SOURCE:DESTINATION[:OPTIONS]",
            f"Write '{path}:{path}:ro'.",
        )


def tmpfs(text: str) -> Iterator[Complaint]:
    """DESTINATION[:OPTIONS] (docs/linuxkit.md#1.9)."""
    if text.count(":") > 1 or not text.partition(":")[0]:
        yield Complaint(
            "config-mount",
            f"{text!r} is not DESTINATION[:OPTIONS]",
            "Write '/tmp:size=10m,mode=1777'.",
        )


def mount_type(given: Mount) -> str:
    """The mount's type, completed (docs/linuxkit.md#1.9); empty when it has none."""
    if given.type:
        return given.type
    if given.source in SOURCE_IS_TYPE:
        return given.source or ""
    return "tmpfs" if given.destination == "/dev" else ""


def mount(given: Mount) -> Iterator[Complaint]:
    """A mount that can be completed (docs/linuxkit.md#1.9)."""
    kind = mount_type(given)
    if not kind:
        yield Complaint(
            "config-mount",
            "the mount has no type",
            "Add `type: bind`, or the type of the file system.",
        )
    elif not given.destination and kind not in SOURCE_IS_TYPE:
        yield Complaint("config-mount", "the mount has no destination", "Add `destination: PATH`.")


def device(given: Device) -> Iterator[Complaint]:
    """Nodes need a path, a type and a mode; the path `all` is a rule without a node
    (docs/linuxkit.md#1.10)."""
    if not given.path:
        yield Complaint(
            "config-device", "the device has no path", "Add `path: /dev/NAME`, or `path: all`."
        )
    elif given.path != "all" and not given.mode:
        yield Complaint(
            "config-mode", "the device has no mode", "Add its permissions in quotes: mode: '0660'."
        )
    if given.type not in ("a", "b", "c", "u", "p") or (given.type == "a" and given.path != "all"):
        what = f"{given.type!r} is not a device type" if given.type else "the device has no type"
        yield Complaint(
            "config-device", what, "Write c (character), b (block) or p (FIFO).", "type"
        )


def file(given: File) -> Iterator[Complaint]:
    """What a file is made of, and where (docs/linuxkit.md#3.7); paths cannot leave the root
    (docs/linuxkit.md#N16)."""
    path = given.path or ""
    if not path.strip("/"):
        yield Complaint("config-file", "the path is empty", "Write a path below /.", "path")
    elif ".." in path.split("/"):
        yield Complaint(
            "config-file", f"{path!r} leaves the root", "Write the path without `..`.", "path"
        )
    elif path.endswith("/") and not given.directory:
        yield Complaint(
            "config-file",
            f"{path!r} ends in / but is not a directory",
            "Add `directory: true`.",
            "path",
        )
    placed = [key for key in ("directory", "symlink") if getattr(given, key)]
    placed += ["contents"] if given.contents is not None else []
    copied = [key for key in ("source", "metadata") if getattr(given, key)]
    if given.directory and given.contents is not None:
        yield Complaint(
            "config-file",
            "a directory cannot have contents",
            "Remove directory or contents.",
            "contents",
        )
    if placed and copied:
        yield Complaint(
            "config-file",
            f"{copied[0]} cannot be combined with {placed[0]}",
            "Remove one of them.",
            copied[0],
        )
    elif len(copied) > 1:
        yield Complaint(
            "config-file",
            "source cannot be combined with metadata",
            "Remove one of them.",
            "metadata",
        )
    elif not placed and not copied:
        hint = "Add one of contents, source, symlink, directory or metadata."
        yield Complaint("config-file", "the file has no contents", hint)


def duration(text: str) -> Iterator[Complaint]:
    """A time as the Compose specification writes it."""
    if milliseconds(text) is None:
        yield Complaint(
            "config-duration",
            f"{text!r} is not a duration",
            "Write numbers with units, up to 34 years: 30s, 1m30s, 500ms.",
        )


def regular_expression(id: str) -> Check:
    """A check of regular expressions, whose complaints have this id."""

    def check(text: str) -> Iterator[Complaint]:
        try:
            re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            yield Complaint(
                id, f"this is not a regular expression: {error}", "Correct the pattern."
            )

    return check


def restart(text: str) -> Iterator[Complaint]:
    """A restart policy."""
    name, colon, times = text.partition(":")
    counted = name == "on-failure" and whole_number(times, MAX_COUNT)
    if name not in ("no", "always", "unless-stopped", "on-failure") or (colon and not counted):
        hint = "Write no, always, unless-stopped, on-failure or on-failure:TIMES."
        yield Complaint("config-restart", f"{text!r} is not a restart policy", hint)


def absolute_path(text: str) -> Iterator[Complaint]:
    """A path that means the same wherever it is read."""
    if not text.startswith("/") or ".." in text.split("/"):
        yield Complaint(
            "config-path",
            f"{text!r} is not an absolute path",
            "Begin the path with a slash, and do not use `..`.",
        )


def seccomp(text: str) -> Iterator[Complaint]:
    """A word, or the path of a profile in the system's root."""
    if text not in SECCOMP and (
        not text.startswith("/") or text.endswith("/") or ".." in text.split("/")
    ):
        hint = "Write default, unconfined, or the absolute path of a profile that `files` creates."
        yield Complaint("config-seccomp", f"{text!r} is not a seccomp profile", hint)


def signal(text: str) -> Iterator[Complaint]:
    """A signal's name or number."""
    if signal_number(text) is None:
        yield Complaint(
            "config-signal",
            f"unknown signal {text!r}",
            "Use a name from signal(7), such as SIGTERM.",
        )


def health_test(words: Sequence[str]) -> Iterator[Complaint]:
    """The first word says how the others are run."""
    how = words[0] if words else ""
    fits = {"CMD": len(words) > 1, "CMD-SHELL": len(words) == 2, "NONE": len(words) == 1}
    if not fits.get(how, False):
        hint = "Write [CMD, PROGRAM, ARGUMENT…], [CMD-SHELL, COMMAND] or [NONE]."
        yield Complaint("config-healthcheck", f"{' '.join(words)!r} is not a valid test", hint)


def healthcheck(given: Healthcheck) -> Iterator[Complaint]:
    """Times that would make a check run without end."""
    for key in ("interval", "timeout", "start_interval"):
        text = getattr(given, key)
        if text is not None and (milliseconds(text) or 0) < 1:
            yield Complaint(
                "config-healthcheck",
                f"{key} is shorter than a millisecond",
                "Write a longer time: 5s.",
                key,
            )


def logging(given: Logging) -> Iterator[Complaint]:
    """Options that exist, with values that can be."""
    options = given.options or {}
    for name, value in options.items():
        if name not in LOG_OPTIONS:
            hint = did_you_mean(name, LOG_OPTIONS, f"Use one of: {', '.join(LOG_OPTIONS)}.")
            yield Complaint("config-logging", f"unknown logging option {name!r}", hint, "options")
        elif name == "max-size" and not octets(value):
            yield Complaint(
                "config-logging",
                f"{value!r} is not a size",
                "Write a number of bytes, or a size such as 64k or 10m.",
                "options",
            )
        elif name == "max-file" and not whole_number(value, 100):
            yield Complaint(
                "config-logging",
                f"max-file {value!r} is not between 1 and 100",
                "Write '3'.",
                "options",
            )
    address = options.get("syslog-address", "")
    if given.driver == "syslog" and not re.fullmatch(
        r"(udp|tcp)://(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):\d{1,5}", address
    ):
        hint = "Add it as an option: syslog-address: udp://10.0.0.1:514."
        yield Complaint(
            "config-logging", "the syslog driver requires the address of a server", hint
        )
