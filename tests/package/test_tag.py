"""Content-hash tags against the check values that LinuxKit gives (docs/linuxkit.md#cli-2.3)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import PackageError
from compos.package.naming import Naming
from compos.package.tag import content_hash, render_tag, version_of

TREE = "c062b16e589020a4dcf690552608f93efd1555a1"


def git(folder: Path, *arguments: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *names, "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "p").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "p/build.yml").write_text("image: foo\n")
    (tmp_path / "p/Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "x/f").write_text("hi\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_a_committed_folder_has_its_tree_id(repository: Path) -> None:
    assert content_hash(repository / "p") == TREE


def test_the_repository_itself(repository: Path) -> None:
    assert content_hash(repository) == "effa86039cef411fd8971a4df5655b6481494ec5"


def test_a_changed_file(repository: Path) -> None:
    with (repository / "p/Dockerfile").open("a") as stream:
        stream.write("new\n")
    assert content_hash(repository / "p") == f"{TREE}-dirty-a039081"
    (repository / "p/aaa").write_text("un\n")
    git(repository, "checkout", "-q", "p/Dockerfile")
    assert content_hash(repository / "p").startswith(f"{TREE}-dirty-")


def test_an_untracked_file(repository: Path) -> None:
    with (repository / "p/Dockerfile").open("a") as stream:
        stream.write("new\n")
    (repository / "p/aaa").write_text("un\n")
    assert content_hash(repository / "p") == f"{TREE}-dirty-64c5d17"


def test_changes_elsewhere_do_not_count(repository: Path) -> None:
    (repository / "x/f").write_text("other\n")
    (repository / "new").write_text("other\n")
    assert content_hash(repository / "p") == TREE


def test_extra_sources_are_chained(repository: Path) -> None:
    (repository / "p/build.yml").write_text("image: foo\nextra-sources:\n- ../x:/x\n")
    git(repository, "commit", "-qam", "two")
    assert content_hash(repository / "p", ["../x:/x"]) == "8d15f54af0b9139eb1697221f808fcc8cfba73fe"


def test_a_link_to_the_repository(repository: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(repository / "p")
    assert content_hash(link) == TREE


def test_outside_of_git(tmp_path: Path) -> None:
    assert content_hash(tmp_path) == ""
    assert render_tag("{{.Hash}}", "") == "latest"


def test_a_folder_that_is_not_committed(repository: Path) -> None:
    (repository / "q").mkdir()
    (repository / "q/build.yml").write_text("image: q\n")
    with pytest.raises(PackageError) as caught:
        content_hash(repository / "q")
    assert caught.value.id == "package-uncommitted"


@pytest.mark.parametrize("extra", ["x", "a:b:c", ":/x", "../x:"])
def test_extra_sources_that_cannot_be_read(repository: Path, extra: str) -> None:
    with pytest.raises(PackageError):
        content_hash(repository / "p", [extra])


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        ("{{.Hash}}", "0123456789"),
        ("6.6-{{ .Hash }}", "6.6-0123456789"),
        ('v-{{printf "%.4s" .Hash}}-x', "v-0123-x"),
        ("v1", "v1"),
        ("", "latest"),
    ],
)
def test_templates(template: str, tag: str) -> None:
    assert render_tag(template, "0123456789") == tag


def test_a_template_that_is_none() -> None:
    with pytest.raises(PackageError) as caught:
        render_tag("{{.Commit}}", "x")
    assert caught.value.id == "package-tag"


def tag_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `pkg show-tag` prints."""
    assert main(["pkg", "show-tag", *arguments]) == 0
    return capsys.readouterr().out.strip()


DIRTY = [
    (("--force-dirty",), f"linuxkit/foo:{TREE}-dirty-21c7488"),
    (("--hash", "h-1"), "linuxkit/foo:h-1"),
    (("--hash", "h-1", "--force-dirty"), "linuxkit/foo:h-1"),
    (("--hash-path", "."), "linuxkit/foo:effa86039cef411fd8971a4df5655b6481494ec5"),
    (("--tag", "6.6.13-{{.Hash}}", "--hash", "x"), "linuxkit/foo:6.6.13-x"),
    (("--tag", ""), f"linuxkit/foo:{TREE}"),
    (("--org", "ours"), f"ours/foo:{TREE}"),
    (("--dev",), "joe/foo:dev"),
    (("--dev", "--org", "ours"), "ours/foo:dev"),
    (("--dev", "--hash", "x"), "joe/foo:x"),
    (("--hash-commit", "HEAD"), f"linuxkit/foo:{TREE}"),
    (("--canonical",), f"docker.io/linuxkit/foo:{TREE}"),
]


@pytest.mark.parametrize(("flags", "name"), DIRTY)
def test_flags(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    name: str,
) -> None:
    """The flags of LinuxKit's `pkg` (reference 2.1, 2.3)."""
    monkeypatch.chdir(repository)
    monkeypatch.setenv("USER", "joe")
    assert tag_of(capsys, *flags, "p") == name


def test_another_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has changed since does not count."""
    monkeypatch.chdir(repository)
    (repository / "p/Dockerfile").write_text("FROM other\n")
    git(repository, "commit", "-qam", "two")
    (repository / "p/new").write_text("dirty\n")
    assert tag_of(capsys, "--hash-commit", "HEAD~1", "p") == f"linuxkit/foo:{TREE}"
    assert main(["pkg", "show-tag", "--hash-commit", "--output=x", "p"]) == 1
    assert "package-git" in capsys.readouterr().err
    assert not (repository / "x").is_file()


def test_another_build_yml(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository)
    (repository / "p/common").mkdir()
    (repository / "p/common/kernel.yml").write_text("image: kernel\ntag: v1\n")
    assert tag_of(capsys, "--build-yml", "./common/kernel.yml", "p") == "linuxkit/kernel:v1"


def test_a_hash_path_that_does_not_hold_the_package(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """LinuxKit compares the text: `p` would begin `/…/p-2`, too."""
    monkeypatch.chdir(repository)
    (repository / "p-2").mkdir()
    (repository / "p-2/build.yml").write_text("image: foo\n")
    assert main(["pkg", "show-tag", "--hash-path", "p", "p-2"]) == 1
    assert "package-hash-path" in capsys.readouterr().err


def test_a_changed_extra_source(repository: Path) -> None:
    """LinuxKit does not notice it."""
    extra = ["../x:/x"]
    clean = content_hash(repository / "p", extra)
    (repository / "x/f").write_text("one\n")
    one = content_hash(repository / "p", extra)
    (repository / "x/f").write_text("two\n")
    two = content_hash(repository / "p", extra)
    assert one.startswith(f"{clean}-dirty-")
    assert two.startswith(f"{clean}-dirty-")
    assert one != two


@pytest.mark.parametrize(
    ("tags", "version"),
    [
        ([], "v0.0.0-20260102030405-"),
        (["v1.2.3"], "v1.2.3"),
        (["v1.2.3", "v1.10.0"], "v1.10.0"),
        (["other", "v1.2", "v1.2.3-rc1"], "v0.0.0-20260102030405-"),
    ],
)
def test_the_version_as_go_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: list[str], version: str
) -> None:
    """Go Modules Reference, "Pseudo-versions": the commit's time in UTC."""
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-02T05:04:05+02:00")
    git(tmp_path, "init", "-q")
    (tmp_path / "f").write_text("x")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    for tag in tags:
        git(tmp_path, "tag", tag)
    found = version_of(tmp_path, (), Naming())
    assert found.go == (version + found.revision[:12] if version.endswith("-") else version)
    git(tmp_path, "commit", "-qm", "two", "--allow-empty")
    found = version_of(tmp_path, (), Naming())
    start = {"v1.2.3": "v1.2.4-0.", "v1.10.0": "v1.10.1-0."}.get(version, "v0.0.0-")
    assert found.go == f"{start}20260102030405-{found.revision[:12]}"
    assert len(found.revision) == 40
