"""Processes that push and pull the same packages at one registry, several to a store, of which some
are killed at random: whatever a name stands for is whole and right, and nobody waits for the dead."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.image.conftest import StartRegistry, docker_registry
from tests.image.test_push_killed import whole

__all__ = ["docker_registry"]

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("COMPOS_TEST_GRAPH_KILLS", "3"))
PACKAGES = ("low", "lib", "app")
SECONDS = 300
"""A process that has not ended by then waits for something that never comes."""


class Works:
    """Packages in git, a registry, and stores: two processes push from one, two pull into one."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.host = folder, host
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.git("init", "-q")

    def git(self, *arguments: str) -> str:
        names = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", *names, "-C", str(self.tree), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def change(self, number: int) -> None:
        """A new version of two packages, which are known by new names then."""
        for name in PACKAGES[number % 2 :]:
            package = self.tree / name
            package.mkdir(exist_ok=True)
            (package / "build.yml").write_text(
                f"image: {name}\norg: {self.host}/team\narches: [amd64, arm64]\n"
                f"files: [{{path: {name}, source: data}}]\n"
            )
            (package / "data").write_bytes(self.contents(name, number))
        self.git("add", ".")
        self.git("commit", "-qm", str(number))

    @staticmethod
    def contents(name: str, number: int) -> bytes:
        return random.Random(f"{name} {number}").randbytes(300_000)

    def tag(self, name: str) -> str:
        return self.git("rev-parse", f"HEAD:{name}")

    def start(self, verb: str, store: str, *flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "compos", *verb.split(), *flags]
        return subprocess.Popen(
            [*command, "--cache", str(self.folder / store)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        )

    def push(self, store: str) -> subprocess.Popen[str]:
        return self.start("pkg push", store, *(str(self.tree / name) for name in PACKAGES))

    def pull(self, store: str) -> subprocess.Popen[str]:
        """What the registry has is pulled, what it lacks is built."""
        folders = [str(self.tree / name) for name in PACKAGES]
        return self.start("pkg build", store, "--pull", *folders)

    def system(self, store: str, name: str) -> subprocess.Popen[str]:
        """A system of what the registry has."""
        images = [f"{self.host}/team/{one}:{self.tag(one)}" for one in PACKAGES]
        path = self.folder / f"{name}.yml"
        path.write_text(f"init: {json.dumps(images)}\n")
        return self.start("build", store, "-f", "tar", str(path))

    def require_whole(self, *, there: bool) -> None:
        """See that what the registry names is complete; with `there`, that it has all names."""
        for name in PACKAGES:
            repository = f"http://{self.host}/v2/team/{name}"
            assert whole(repository, self.tag(name)) or not there, name

    def require_right(self, name: str, number: int) -> None:
        with tarfile.open(self.folder / f"{name}.tar") as archive:
            for one in PACKAGES:
                newest = number if one in PACKAGES[number % 2 :] else number - 1
                stream = archive.extractfile(one)
                assert stream
                found = hashlib.sha256(stream.read()).hexdigest()
                assert found == hashlib.sha256(self.contents(one, newest)).hexdigest()


def ended(process: subprocess.Popen[str], statuses: tuple[int, ...]) -> int:
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode in statuses, output
    return process.returncode


@pytest.fixture
def works(tmp_path: Path, docker_registry: StartRegistry) -> Works:
    return Works(tmp_path, docker_registry())


def test_killed_at_random(works: Works) -> None:
    randomly = random.Random(7)
    killed = number = 0
    span = 2.0
    while killed < KILLS:
        works.change(number)
        began = time.monotonic()
        running = [works.push("pushing"), works.push("pushing"), works.push("other")]
        running += [works.pull("pulling"), works.system("pulling", "early")]
        victims = randomly.sample(running, randomly.randrange(2, 5))
        for victim in victims:
            time.sleep(randomly.uniform(0.02, span / len(victims)))
            victim.kill()
        for process in running:
            # A system is refused whose images are not there yet.
            allowed = (0, -signal.SIGKILL) if process in victims else (0,)
            ended(process, (*allowed, 1) if process is running[-1] else allowed)
        killed += sum(one.returncode == -signal.SIGKILL for one in victims)
        works.require_whole(there=False)
        # The next ones find nothing that they would have to wait for, and nothing that is wrong.
        ended(works.push("pushing"), (0,))
        span = max(2.0, 0.7 * (time.monotonic() - began))
        works.require_whole(there=True)
        for process in (works.pull("pulling"), works.system("pulling", "late")):
            ended(process, (0,))
        works.require_right("late", number)
        number += 1
    print(f"{killed} processes killed in {number} rounds")
    for store in ("pushing", "other", "pulling"):
        ended(works.start("cache clean", store, "--keep", "0"), (0,))
        ended(works.start("cache clean", store), (0,))
        left = {path.name for path in (works.folder / store).rglob("*") if path.is_file()}
        assert not [name for name in left if len(name) == 64 or "tmp" in name], left
