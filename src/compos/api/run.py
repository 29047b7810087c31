"""A system that is built to be booted at once, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compos.api.build import BuildOptions, described, require_buildable, write
from compos.api.options import ImageOptions, LoadOptions

if TYPE_CHECKING:
    from compos.config.model import Config
    from compos.output.job import Job

__all__ = ["Runnable", "build_to_run", "write_to_run"]


GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}


class Runnable(NamedTuple):
    """The prefix of the kernel and initrd of the system that `config` describes."""

    prefix: Path
    config: Config


def build_to_run(
    source: Path,
    state: Path,
    *,
    architecture: str | None,
    images: ImageOptions,
    load: LoadOptions,
) -> Runnable:
    """Build `source` into the folder `state`.

    `architecture` is QEMU's name or Go's. The initrd is not compressed: packing it takes longer
    than reading it does once. Raises as `compos.build`.
    """
    if architecture:
        load = load._replace(architecture=GO_NAMES.get(architecture, architecture))
    # The guest's disks and metadata will lie there, too.
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = BuildOptions(load, images, folder=state, compression="none", name=source.stem)
    buildable = require_buildable([str(source)], options)
    prefix = state / source.stem
    with described(buildable, options, prefix.name, "") as (access, outputs):
        write(access, outputs, prefix, options)
    return Runnable(prefix, buildable.description.config)


def write_to_run(job: Job, state: Path, name: str) -> Path:
    """As `build_to_run`, for a composed system whose files are to be called `name`. Raises
    `OutputError`."""
    from compos.output.formats import make
    from compos.output.write import Output, update_outputs

    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    request = job.request._replace(compression="none")
    made = make(job._replace(request=request), request.formats)
    update_outputs(job.store, state / name, [Output(suffix, pieces) for suffix, pieces in made])
    return state / name
