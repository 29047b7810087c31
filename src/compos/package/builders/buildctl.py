"""BuildKit through `buildctl`: the daemon at `BUILDKIT_HOST`, at its usual socket, or at an address
that is given.

May touch: the program `buildctl`, the daemon, the scratch folder. It takes no tar: the package's
folder is sent as it is; with extra sources or other changes, a copy.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

from compos.errors import PackageError
from compos.package.builders.program import answer, oci_exporter, reported, run, secret_values
from compos.package.builders.request import NO_SBOM, Built, Request

__all__ = ["Buildctl"]

_LAYOUT = "compos"


class Buildctl:
    """`buildctl build`, with the `address` of a daemon if one is given."""

    def __init__(self, address: str = "") -> None:
        self._buildctl = ("buildctl", *(("--addr", address) if address else ()))
        self.title = "BuildKit through buildctl" + (f" at {address}" if address else "")

    def obstacle(self) -> str:
        """Why it cannot be used here."""
        if shutil.which("buildctl") is None:
            return "buildctl is not installed"
        status, text = answer(*self._buildctl, "debug", "workers")
        return (text.splitlines() or ["it does not answer"])[-1] if status else ""

    def build(self, request: Request) -> Built:
        """Build an image; raises `PackageError` (`builder-failed`)."""
        context, dockerfile = request.scratch / "context", request.scratch / "dockerfile"
        _unpack(request, context)
        dockerfile.mkdir()
        (dockerfile / "Dockerfile").write_text(request.text)
        # It has precedence over the context's, which has no effect then.
        (dockerfile / "Dockerfile.dockerignore").touch()
        archive = request.scratch / "image.tar"
        run(
            self.title,
            request.place,
            (
                *(*self._buildctl, *_arguments(request)),
                *("--local", f"context={context}", "--local", f"dockerfile={dockerfile}"),
                *("--output", oci_exporter(archive)),
            ),
            hidden=secret_values(request.options.secrets),
            shows_output=request.options.shows_output,
        )
        return Built(archive)

    def cache(self, scratch: Path, *, prune: bool = False) -> str:
        """The cache of the daemon."""
        return reported(self.title, (*self._buildctl, "prune" if prune else "du"))


def _unpack(request: Request, folder: Path) -> None:
    """The context as a folder. Owners do not count: BuildKit gives all of it to root."""
    packed = request.scratch / "context.tar"
    with packed.open("wb") as out:
        request.context(out, None)
    folder.mkdir()
    with tarfile.open(packed) as archive:
        # Python has no filter for it, and that of Debian 12 (3.11.2) has none at all.
        archive.extraction_filter = lambda member, _: member
        archive.extractall(folder, members=_inside(archive, folder))  # noqa: S202
    packed.unlink()


def _inside(archive: tarfile.TarFile, folder: Path) -> Iterator[tarfile.TarInfo]:
    """The members, each checked when those before it are there, and the caller's own. Links may
    lead anywhere, since the daemon follows them within the context only; but nothing is written
    through them. Raises `PackageError` (`package-context`)."""
    for member in archive:
        if not (folder / member.name).parent.resolve().is_relative_to(folder.resolve()):
            raise PackageError(
                "package-context",
                "a file of the build context would be written through a link that leads out of it",
                place=member.name[:255],
                hint="Change the destination of the extra source.",
            )
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        yield member


def _arguments(request: Request) -> list[str]:
    options = request.options
    arguments = ["build", "--progress", "plain", "--frontend", "dockerfile.v0"]
    values = {
        "filename": "Dockerfile",
        "platform": str(request.platform),
        "force-network-mode": "sandbox" if request.network else "none",
        "build-arg:SOURCE_DATE_EPOCH": str(request.epoch),
        **{f"build-arg:{name}": value for name, value in request.arguments.items()},
        **{f"label:{name}": value for name, value in request.labels.items()},
        **{
            f"context:{base.text}": f"oci-layout://{_LAYOUT}@{base.root.digest}"
            for base in request.bases
        },
    }
    if not request.cache:
        values["no-cache"] = ""
    if options.sbom_scanner not in ("", NO_SBOM):
        values["attest:sbom"] = f"generator={options.sbom_scanner}"
    if options.provenance not in ("", "false"):
        values["attest:provenance"] = "" if options.provenance == "true" else options.provenance
    for name, value in values.items():
        arguments += ["--opt", f"{name}={value}"]
    if request.bases:
        arguments += ["--oci-layout", f"{_LAYOUT}={request.store.root.resolve()}"]
    for flag, words in (
        ("--secret", options.secrets),
        ("--ssh", options.ssh),
        ("--export-cache", options.cache_to),
        ("--import-cache", options.cache_from),
    ):
        for word in words:
            arguments += [flag, word]
    return arguments
