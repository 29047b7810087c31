"""What is booted: kernel and initrd, a root filesystem image, an ISO or a disk, found from a path
(cli.md 4.2), or what is at a URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlunsplit

from compos.errors import RunError
from compos.http.address import web_address, without_secrets
from compos.run.disks import Disk, named_format

__all__ = ["KINDS", "Boot", "find_boot", "network_boot"]

ROOT_IMAGES = ("squashfs", "erofs")
KINDS = ("kernel", *ROOT_IMAGES, "iso")
"""What a flag can ask for; without one, the files that are there decide."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What to boot. `prefix` names the state directory; a `disk` beside a `kernel` is its root
    filesystem.

    `uefi`: the name says that only UEFI starts it. `url`, as the guest sees it, is what the
    firmware fetches.
    """

    prefix: Path
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    disk: Disk | None = None
    iso: Path | None = None
    uefi: bool = False
    url: str = ""


def find_boot(path: Path, *, kind: str = "") -> Boot:
    """What `path` means: `kind` (one of `KINDS`) says it, else the files that are there do.

    A folder that has the name of the built files' prefix is not what is meant. Raises `RunError`
    (`boot-missing`, `boot-not-built`).
    """
    image = path.exists() and not path.is_dir()
    if kind == "iso" or (image and not kind and path.suffix == ".iso"):
        return _iso(path)
    if image and not kind and path.suffix == ".efi":
        # QEMU hands a program over to the firmware as it does a kernel.
        return Boot(path.with_suffix(""), kernel=path, uefi=True)
    if image and not kind:
        if path.suffix in (".yml", ".yaml"):
            hint = f"Build it, then run its prefix: compos build {path} && compos run {path.stem}"
            raise RunError(
                "boot-not-built", "the file is YAML, not a built system", place=str(path), hint=hint
            )
        # `compos build -f raw` writes NAME.img.
        disk = Disk(
            path, format=named_format(path.name) or ("raw" if path.suffix == ".img" else "")
        )
        return Boot(path, disk=disk, uefi="-efi" in path.name)
    found = next((form for form in ROOT_IMAGES if _beside(path, f"-{form}.img").exists()), None)
    form = kind if kind in ROOT_IMAGES else found
    if form and kind != "kernel":
        return _root_image(path, form)
    return _initrd(path)


HOST = "10.0.2.2"
"""This machine, as guests see it in QEMU's user network."""


def network_boot(url: str) -> Boot:
    """Boot what is at `url`: a UEFI program (`.efi`), or what iPXE takes. `localhost` is this
    machine. Raises `RunError` (`netboot-url`) and `AddressError`."""
    parts = web_address(url)
    if not url.isascii() or "," in url or parts.username is not None or parts.fragment:
        raise RunError(
            "netboot-url",
            "firmware cannot boot from this address",
            place=without_secrets(url),
            hint="Write http://HOST[:PORT]/PATH, without commas, password and fragment.",
        )
    uefi = parts.path.endswith(".efi")
    if parts.scheme != "http" and not uefi:
        raise RunError(
            "netboot-url",
            "QEMU's iPXE cannot fetch anything over TLS",
            place=without_secrets(url),
            hint="Use http, or boot a UEFI program (.efi).",
        )
    if parts.hostname in ("localhost", "127.0.0.1", "::1"):
        port = f":{parts.port}" if parts.port else ""
        parts = parts._replace(netloc=f"{HOST}{port}")
    return Boot(Path("netboot"), uefi=uefi, url=urlunsplit(parts))


def _iso(path: Path) -> Boot:
    found = path if path.exists() else path.with_name(f"{path.name}.iso")
    _need(found, "iso-bios")
    return Boot(
        found.with_suffix("") if found.suffix == ".iso" else found,
        iso=found,
        uefi="-efi" in found.name,
    )


def _initrd(path: Path) -> Boot:
    kernel, initrd = _beside(path, "-kernel"), _beside(path, "-initrd.img")
    _need(kernel, "kernel+initrd")
    _need(initrd, "kernel+initrd")
    return Boot(path, kernel, initrd, _cmdline(path))


def _root_image(path: Path, form: str) -> Boot:
    kernel, image = _beside(path, "-kernel"), _beside(path, f"-{form}.img")
    _need(kernel, f"kernel+{form}")
    _need(image, f"kernel+{form}")
    # compos writes an initrd that finds the root by itself; LinuxKit's kernels have the drivers in
    # them.
    initrd = _beside(path, f"-{form}-initrd.img")
    finder = initrd if initrd.is_file() else None
    return Boot(path, kernel, finder, _cmdline(path), disk=Disk(image, format="raw"))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _cmdline(path: Path) -> str:
    try:
        return _beside(path, "-cmdline").read_text(errors="surrogateescape").strip()
    except FileNotFoundError:
        return ""


def _need(path: Path, form: str) -> None:
    if not path.is_file():
        raise RunError(
            "boot-missing",
            "the file to boot does not exist",
            place=str(path),
            hint=f"Build it first: compos build -f {form} FILE.yml",
        )
