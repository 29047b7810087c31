"""Versions from git, the source distribution, and the locks. `make dist` makes and tries the whole
release (docs/releasing.md)."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from scripts.dist import SIGNATURES, commit_time, signature_pins, source_distribution
from scripts.version import ROOT, described, version

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-docs.lock")


@pytest.mark.parametrize(
    ("description", "changed", "expected"),
    [
        ("v0.1.0-0-g8237fe3", False, "0.1.0"),
        ("v0.1.0-0-g8237fe3", True, "0.1.1.dev0+g8237fe3.changed"),
        ("v0.1.9-12-g8237fe3a", False, "0.1.10.dev12+g8237fe3"),
        ("v1.0rc1-3-g8237fe3", False, "1.0rc2.dev3+g8237fe3"),
    ],
)
def test_a_description_as_a_version(description: str, changed: bool, expected: str) -> None:
    made = described(description, changed=changed)
    assert made == expected == str(Version(expected))
    tag = Version(description[1:].split("-")[0])
    assert (Version(made) > tag) == (made != str(tag))


@pytest.mark.parametrize("description", ["v0.1.0", "release-1-g8237fe3", "v1-beta-3-g8237fe3", ""])
def test_a_tag_that_is_no_version(description: str) -> None:
    with pytest.raises(ValueError, match="not the tag of a version"):
        described(description, changed=False)


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_version_of_a_tree(tmp_path: Path) -> None:
    assert version(tmp_path) == "0+unknown"
    git(tmp_path, "init", "-q")
    assert version(tmp_path) == "0+unknown", "no commit yet"
    (tmp_path / "file").touch()
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    assert re.fullmatch(r"0\.1\.0\.dev1\+g[0-9a-f]{7}", version(tmp_path))
    git(tmp_path, "tag", "v0.3.0")
    git(tmp_path, "tag", "other")
    assert version(tmp_path) == "0.3.0"
    (tmp_path / "untracked").touch()
    assert version(tmp_path) == "0.3.0"
    (tmp_path / "file").write_text("changed")
    assert re.fullmatch(r"0\.3\.1\.dev0\+g[0-9a-f]{7}\.changed", version(tmp_path))
    inner = tmp_path / "inner"
    inner.mkdir()
    assert version(inner) == "0+unknown", "another project's repository"
    (tmp_path / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: x\nVersion: 7.0\n\nText\n")
    assert version(tmp_path) == "7.0"


@pytest.mark.slow
def test_the_source_distribution_is_reproducible_and_keeps_its_version(tmp_path: Path) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": commit_time()}
    made = []
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        made.append(source_distribution(tmp_path / name, environment))
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in made)
    assert first == second
    with tarfile.open(made[0]) as archive:
        names = archive.getnames()
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path / "tree")
    (tree,) = (tmp_path / "tree").iterdir()
    assert made[0].name == f"{tree.name}.tar.gz"
    command = [sys.executable, "scripts/version.py"]
    said = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True).stdout
    assert said.strip() == tree.name.removeprefix("compos_linux-")
    for needed in ("hatch_build.py", "requirements-dev.lock", "examples/web.yml", "LICENSE"):
        assert f"{tree.name}/{needed}" in names
    assert not [name for name in names if re.search(r"/bin/|\.bin$|/_version\.py$|/\.ci/", name)]


def pinned(lock: str) -> dict[str, list[str]]:
    """The lines that name a version, and the hashes of its files."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if re.match(r"[a-z]", line):
            last = found.setdefault(line.removesuffix("\\").strip(), [])
        elif match := re.fullmatch(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?", line):
            last.append(match[1])
        else:
            assert line.startswith("#"), line
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_each_pin_has_hashes_and_no_index_is_named(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()
    for line, hashes in pinned(lock).items():
        assert re.match(r"[a-z0-9-]+==[0-9]", line)
        assert hashes, line


def test_the_one_file_has_what_signatures_need() -> None:
    """The extra, and what that needs in turn, as the packages themselves say."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in extra["optional-dependencies"]["signatures"]]
    needed = set()
    while wanted:
        one = wanted.pop()
        if one.name not in needed and (one.marker is None or one.marker.evaluate({"extra": ""})):
            needed.add(one.name)
            wanted += [Requirement(text) for text in requires(one.name) or ()]
    assert set(SIGNATURES) == needed - {line.split("==")[0] for line in pinned("requirements.lock")}
    names = re.findall(r"(?m)^([a-z0-9-]+)==", signature_pins())
    assert tuple(names) == SIGNATURES
    assert signature_pins().count("--hash=sha256:") > 50, "for each Python and machine"


def test_the_locks_have_what_the_project_asks_for() -> None:
    """`make lock` after a change of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = project["project"]["dependencies"]
    groups = project["dependency-groups"]
    everything = [*runtime, *groups["dev"]]
    for lock, wanted in zip(LOCKS, (runtime, everything, groups["docs"]), strict=True):
        versions = {
            requirement.name: next(iter(requirement.specifier)).version
            for requirement in map(Requirement, pinned(lock))
        }
        for requirement in map(Requirement, wanted):
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert requirement.specifier.contains(versions[name]), f"{lock}: {requirement}"
    assert pinned(LOCKS[0]).items() <= pinned(LOCKS[1]).items(), "the same versions in both"
