"""From the YAML on this machine to a composed system, and to what it is made of.

May touch: everything that a build does, but no outputs until `write` is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from compos.api.composed import Composed, InspectOptions, compose_described
from compos.api.load import Description, load
from compos.api.run import write_to_run
from compos.compose.host_files import has_source
from compos.config.images import image_references
from compos.config.model import Mark
from compos.config.sources import is_url
from compos.develop.picture import Picture, picture
from compos.develop.watch import Watched
from compos.image.reference import LOCAL_IMAGES
from compos.tree.contents import Contents

__all__ = ["AGENT", "Source"]

AGENT = "compos/dev:v1"
"""What is added to init's images: the program that takes what is new in the guest."""

STDIN = "-"


class Source:
    """The YAML at `path`, read and composed again and again. `found` is told each time of what the
    system is made of, before any of it is read but the YAML; and whether that is all, which it is
    not where the YAML cannot be read."""

    def __init__(
        self, path: Path, options: InspectOptions, found: Callable[[Watched, bool], None]
    ) -> None:
        self.path = path
        self._options = options
        self._found = found
        self._yaml: set[Path] = set()

    def compose(self) -> tuple[Composed, Picture]:
        """The system as it is now. Raises as `compos.build` does, except for outputs."""
        self._yaml = {self.path.absolute()}
        try:
            description = load([self.path], self._options.load, take=self._take)
        except BaseException:
            # What is wrong may be put right in any of them.
            self._found(Watched(frozenset(self._yaml)), False)
            raise
        self._found(self._parts(description), True)
        config = description.config
        if config.init:
            config = config._replace(
                init=(*config.init, AGENT), init_marks=(*config.init_marks, Mark(AGENT))
            )
        found = compose_described(description._replace(config=config), self._options)
        with Contents(found.job.store.root) as contents:
            return found, picture(found.job.system, config, contents)

    def write(self, found: Composed, state: Path) -> Path:
        """Write what boots into `state`; returns its prefix. Raises `OutputError`."""
        return write_to_run(found.job, state, self.path.stem)

    def _take(self, source: str, name: str, read: Callable[[], bytes]) -> bytes:
        if source != STDIN and not is_url(source):
            self._yaml.add(Path(source).absolute())
        return read()

    def _parts(self, description: Description) -> Watched:
        files = {*self._yaml}
        folders = {Path(one).absolute() for one in self._options.load.packages}
        for entry in description.config.files:
            if has_source(entry) and entry.source:
                files.add(Path(os.path.expanduser(entry.source)).absolute())  # noqa: PTH111  as LinuxKit
        folders.update(recipe.folder.absolute() for recipe in description.packages.recipes.values())
        for name in image_references(description.config):
            for scheme in LOCAL_IMAGES:
                if name.startswith(scheme):
                    path = Path(name.removeprefix(scheme))
                    (folders if path.is_dir() else files).add(path)
        return Watched(frozenset(files), frozenset(folders))
