"""Systems that init carries out a plan of, as `compos dev` sees them."""

from __future__ import annotations

from pathlib import Path

from compos.compose.plan import LABEL, SECCOMP_LABEL
from compos.develop.picture import Picture, picture
from compos.tree.contents import Contents
from tests.compose.systems import World
from tests.images import Member

SYSTEM = """\
kernel: {image: "acme/kernel:1", cmdline: quiet}
init: ["acme/init:1"]
onboot:
  - {name: first, image: "acme/app:1", binds: ["/etc/boot:/etc/boot"]}
onshutdown:
  - {name: last, image: "acme/app:1"}
services:
  - {name: web, image: "acme/web:1", binds: ["/srv/www:/www:ro", "/run:/run"]}
  - {name: log, image: "acme/app:1", binds: ["/etc/both:/etc/both", "/:/host"]}
  - {name: other, image: "acme/app:1", binds: ["/etc/both:/etc/both"]}
volumes:
  - {name: data, image: "acme/app:1"}
files:
  - {path: srv/www/index.html, contents: hello}
  - {path: srv/www/old.html, contents: old}
  - {path: etc/both, contents: both}
  - {path: etc/boot, contents: boot}
  - {path: etc/issue, contents: hi}
  - {path: etc/os.yml, metadata: yaml}
"""


class PictureWorld(World):
    """A world with images for `SYSTEM`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.image(
            "acme/init:1",
            [[Member("init", mode=0o755, content="#!"), Member("usr/bin/crun", mode=0o755)]],
            {"Labels": {LABEL: "1", SECCOMP_LABEL: "1"}},
        )
        for number in ("1", "2"):
            self.image(
                f"acme/web:{number}",
                [
                    [
                        Member("bin/web", mode=0o755, content=f"web {number}"),
                        Member("share/same", content="same"),
                        Member(f"share/only{number}/file", content="x"),
                    ]
                ],
                {"Entrypoint": ["/bin/web"]},
            )
        # The same files in another archive.
        self.image(
            "acme/web:again",
            [
                [
                    Member("share/same", content="same"),
                    Member("share/only1/file", content="x"),
                    Member("bin/web", mode=0o755, content="web 1"),
                ]
            ],
            {"Entrypoint": ["/bin/web"]},
        )

    def picture(self, yaml: str = SYSTEM) -> Picture:
        """What it is to a machine."""
        with Contents(self.store.root) as contents:
            return picture(self.compose(yaml), self.config(yaml), contents)
