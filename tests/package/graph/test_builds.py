"""Trees of packages built for real, by buildah where there is a Dockerfile: what is built after
which change, by several processes at once, and after kills."""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.attestation import attested
from compos.image.door import stored_image
from compos.image.platform import Platform
from compos.image.store import Store
from tests.image.conftest import docker_registry
from tests.package.graph.trees import ORG, TREE, recipe, write

__all__ = ["docker_registry"]

pytestmark = [pytest.mark.root, pytest.mark.slow]

HOST = Platform.host()
KILLS = int(os.environ.get("COMPOS_TEST_GRAPH_KILLS", "1"))
"""Rounds in which a process is killed; `make graph-kills` has a hundred."""

Build = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def _buildah(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("COMPOS_BUILDER", "buildah"),
        ("BUILDAH_ISOLATION", "chroot"),
        ("STORAGE_DRIVER", "vfs"),
        ("COMPOS_CACHE", str(tmp_path / "store")),
        ("HOME", str(tmp_path / "home")),
        ("DOCKER_CONFIG", str(tmp_path / "nothing")),
    ):
        monkeypatch.setenv(name, value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "pkg")
    return tmp_path


def built(text: str) -> list[str]:
    """The packages that a build reports to have built."""
    return re.findall(rf"\] {ORG}/(\w+):v1 \S+ built: ", text)


@pytest.fixture
def build(folder: Path, capsys: pytest.CaptureFixture[str]) -> Build:
    """Builds all packages; gives those that were built."""

    def build_all(*flags: str, status: int = 0) -> list[str]:
        capsys.readouterr()
        assert main(["pkg", "build", "--all", *flags, str(folder / "pkg")]) == status
        return built(capsys.readouterr().err)

    return build_all


def files(folder: Path, name: str) -> dict[str, str]:
    """The contents of the files in a package's image, as skopeo copies it and GNU tar's format has
    them, layer by layer."""
    layout = folder / "layout"
    source = f"oci:{folder / 'store'}:{ORG.partition('/')[0]}/team/{name}:v1"
    subprocess.run(
        ["skopeo", "copy", "--quiet", source, f"dir:{layout}"], check=True, capture_output=True
    )
    found = {}
    for blob in sorted(layout.iterdir()):
        if tarfile.is_tarfile(blob):
            with tarfile.open(blob) as layer:
                for member in layer:
                    stream = layer.extractfile(member)
                    if stream is not None:
                        found[member.name] = stream.read().decode()
        blob.unlink()
    layout.rmdir()
    return found


def test_what_is_built_follows_from_what_has_changed(folder: Path, build: Build) -> None:
    assert sorted(build()) == sorted(TREE)
    assert build() == []
    assert files(folder, "both") == {"low": "one", "app": "app", "both": "web"}
    low = folder / "pkg/low/build.yml"
    low.write_text(recipe("low", "two"))
    assert build() == ["low", "app", "both"]
    assert files(folder, "both") == {"low": "two", "app": "app", "both": "web"}
    # The same image comes of it: nothing behind it is built.
    low.write_text(f"# A comment.\n{low.read_text()}")
    assert build() == ["low"]
    (folder / "pkg/web/mark").write_text("new")
    assert build() == ["web", "both"]
    assert files(folder, "both")["both"] == "new"
    # Neither a time stamp nor an owner is a change.
    os.utime(folder / "pkg/web/mark", (1, 1))
    assert build() == []


def test_a_system_has_its_packages_built_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is named by its folder, and the one beside it that is named by its image."""
    (folder / "os.yml").write_text(
        f"onboot:\n  - {{name: both, image: '@pkg:pkg/both'}}\n"
        f"services:\n  - {{name: app, image: '{ORG}/app:v1', command: [/app]}}\n"
    )
    out = folder / "out.tar"
    command = ["build", "--no-sbom", "--o", str(out), str(folder / "os.yml")]

    said = ""

    def build() -> list[str]:
        nonlocal said
        capsys.readouterr()
        assert main(command) == 0
        said = capsys.readouterr().err
        return built(said)

    assert sorted(build()) == ["app", "both", "lib", "low", "web"]
    assert build() == []
    (folder / "pkg/low/build.yml").write_text(recipe("low", "two"))
    assert build() == ["low", "app", "both"]
    assert f"low:v1 {HOST} built: its build.yml, or a file" in said
    assert f"{ORG}/low:v1 is another image than it was built from" in said
    with tarfile.open(out) as archive:
        for path in ("onboot/000-both", "services/app"):
            stream = archive.extractfile(f"containers/{path}/lower/low")
            assert stream is not None
            assert stream.read() == b"two"
    # By name only, in another folder than the tree's.
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/os.yml").write_text(f"services: [{{name: x, image: '{ORG}/alone:v1'}}]\n")
    command = ["build", "--o", str(out), "--packages", str(folder / "pkg")]
    command += [str(folder / "elsewhere/os.yml")]
    assert build() == ["alone"]


def test_a_lock_has_packages_that_are_named_by_their_images(tmp_path: Path) -> None:
    """What `--packages` finds is built, locked, and taken from there."""
    write(tmp_path / "pkg", {"low": None, "app": f"FROM {ORG}/low:v1\nCOPY mark /app\n"})
    (tmp_path / "os.yml").write_text(f"services: [{{name: app, image: '{ORG}/app:v1'}}]\n")
    flags = ["--packages", str(tmp_path / "pkg"), str(tmp_path / "os.yml")]
    assert main(["lock", *flags]) == 0
    assert f"{ORG}/app:v1" in (tmp_path / "os.lock").read_text()
    outputs = [tmp_path / f"{name}.tar" for name in ("locked", "free")]
    assert main(["build", "--locked", "--o", str(outputs[0]), *flags]) == 0
    assert main(["build", "--o", str(outputs[1]), *flags]) == 0
    assert len({hashlib.sha256(out.read_bytes()).digest() for out in outputs}) == 1
    assert main(["inspect", *flags]) == 0


def test_an_error_stops_or_leaves_out_what_needs_it(
    folder: Path, build: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pkg/app/Dockerfile").write_text(f"FROM {ORG}/low:v1\nCOPY nothing /\n")
    assert sorted(build("--keep-going", "--jobs", "1", status=1)) == ["alone", "lib", "low", "web"]
    main(["pkg", "build", "--all", str(folder / "pkg")])
    said = capsys.readouterr().err
    assert "error[builder-failed]" in said
    assert f"{folder / 'pkg/app/Dockerfile'}" in said
    assert f"not built because of that: {ORG}/both:v1" in said
    (folder / "pkg/app/Dockerfile").write_text(f"FROM {ORG}/low:v1\nCOPY mark /app\n")
    assert build() == ["app", "both"]


def test_base_images_of_a_registry_count_by_digest(
    tmp_path: Path, docker_registry: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    host = docker_registry()
    base = f"{host}/team/base:v1"

    def publish(contents: str) -> None:
        package = write(tmp_path / contents, {"base": None}) / "base"
        (package / "build.yml").write_text(recipe("base", contents).replace(ORG, f"{host}/team"))
        store = ("--cache", str(tmp_path / f"store-{contents}"))
        assert main(["pkg", "push", *store, "--platforms", str(HOST), str(package)]) == 0

    def build(*flags: str) -> list[str]:
        capsys.readouterr()
        (tmp_path / "os.yml").write_text("services: [{name: app, image: '@pkg:pkg/app'}]\n")
        out = ("--no-sbom", "--o", str(tmp_path / "out.tar"))
        assert main(["build", *out, *flags, str(tmp_path / "os.yml")]) == 0
        return built(capsys.readouterr().err)

    publish("one")
    write(tmp_path / "pkg", {"app": f"FROM {base}\nCOPY mark /app\n"})
    assert build() == ["app"]
    publish("two")
    # The store's image counts until the registry is to be asked again.
    assert build() == []
    assert build("--pull") == ["app"]
    assert build("--pull") == []
    assert files(tmp_path, "app") == {"base": "two", "app": "app"}


def test_a_tree_is_pushed_after_it_was_built(
    tmp_path: Path, docker_registry: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    host = docker_registry()
    write(tmp_path / "pkg", {"low": None, "lib": None})
    flags = ("--push", "--registry", f"{host}/x", "--platforms", str(HOST))
    assert main(["pkg", "build", "--all", *flags, str(tmp_path / "pkg")]) == 0
    for name in ("low", "lib"):
        image = ("--tls-verify=false", f"docker://{host}/x/{name}:v1")
        subprocess.run(["skopeo", "inspect", *image], check=True, capture_output=True)
    capsys.readouterr()
    assert main(["pkg", "build", "--all", "--dry-run", str(tmp_path / "pkg")]) == 1
    assert main(["pkg", "build", "--jobs", "2", str(tmp_path / "pkg/low")]) == 1
    assert capsys.readouterr().err.count("error[usage]") == 2


def test_a_published_package_is_pulled_by_the_hash_of_its_folder(
    tmp_path: Path,
    docker_registry: Callable[[], str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    org = f"{docker_registry()}/team"
    app = write(tmp_path / "pkg", {"app": "FROM scratch\nCOPY mark /app\n"}) / "app"
    (app / "build.yml").write_text(f"image: app\norg: {org}\n")
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path / "pkg"))
    for step in (("init", "-q"), ("add", "."), ("commit", "-qm", "x")):
        subprocess.run([*git, *step], check=True)
    assert main(["pkg", "push", "--platforms", str(HOST), str(app)]) == 0
    # On another machine, which has no builder.
    monkeypatch.setenv("COMPOS_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PATH", os.path.dirname(shutil.which("git") or ""))  # noqa: PTH120
    monkeypatch.setenv("COMPOS_BUILDER", "buildctl")
    (tmp_path / "os.yml").write_text("services: [{name: app, image: '@pkg:pkg/app'}]\n")
    command = ["build", "--no-sbom", "--o", str(tmp_path / "out.tar"), str(tmp_path / "os.yml")]
    for _ in range(2):
        capsys.readouterr()
        assert main(command) == 0
        assert built(capsys.readouterr().err) == []
    # What has changed is not published.
    (app / "mark").write_text("other")
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "error[builder-missing]" in said
    assert f"{tmp_path / 'os.yml'}:1:" in said
    assert str(app / "build.yml") in said


def test_systems_that_are_built_at_once_share_their_packages(tmp_path: Path) -> None:
    write(tmp_path / "pkg", {"low": None, "lib": None})
    (tmp_path / "os.yml").write_text(
        "services:\n  - {name: low, image: '@pkg:pkg/low'}\n"
        f"  - {{name: lib, image: '{ORG}/lib:v1'}}\n"
    )
    outputs = [tmp_path / f"{number}.tar" for number in range(4)]
    processes = [start(tmp_path, "build", "--o", str(out), "os.yml") for out in outputs]
    said = "".join([ended(process) for process in processes])
    assert sorted(built(said)) == ["lib", "low"]
    assert len({hashlib.sha256(out.read_bytes()).digest() for out in outputs}) == 1


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A build of all packages, or another command, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "compos", *(arguments or ("pkg", "build", "--all", "pkg"))],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # What it starts must not outlive the test.
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> str:
    """What a build has said on standard error."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def require_right(folder: Path, low: str) -> None:
    """Every image is complete, and has what its package and those below it have."""
    store = Store(folder / "store")
    for name in TREE:
        full = f"{ORG}/{name}:v1"
        image = stored_image(store, full, store.named(full), HOST)
        assert attested(store, image)
    assert files(folder, "both") == {"low": low, "app": "app", "both": "web"}
    for place in ("ingest", "locks"):
        path = folder / "store" / place
        assert not path.is_dir() or list(path.iterdir()) == []


@pytest.mark.parametrize("count", (2,) if KILLS < 10 else (2, 10))
def test_processes_that_build_at_once_build_each_package_once(folder: Path, count: int) -> None:
    said = "".join([ended(process) for process in [start(folder) for _ in range(count)]])
    assert sorted(built(said)) == sorted(TREE)
    require_right(folder, "one")


def test_killed_builds_leave_nothing_wrong_and_nothing_locked(folder: Path) -> None:
    choice = random.Random(9)
    started = time.monotonic()
    ended(start(folder))
    usual = time.monotonic() - started
    low = "one"
    for number in range(KILLS):
        low = choice.choice(("one", "two"))
        (folder / "pkg/low/build.yml").write_text(recipe("low", low))
        if choice.random() < 0.3:
            main(["cache", "rm", f"{ORG}/{choice.choice(list(TREE))}:v1"])
        processes = [start(folder) for _ in range(10 if number % 25 == 24 else 2)]
        time.sleep(choice.uniform(0, usual))
        victim = choice.choice(processes)
        # Its builder goes on for a moment if it is not killed, too.
        (os.killpg if choice.random() < 0.5 else os.kill)(victim.pid, signal.SIGKILL)
        victim.wait()
        for process in processes:
            if process is not victim:
                ended(process)
        with suppress(ProcessLookupError):
            os.killpg(victim.pid, signal.SIGKILL)
        victim.communicate()
        assert files(folder, "both") == {"low": low, "app": "app", "both": "web"}
    said = ended(start(folder))
    assert said
    assert main(["cache", "clean", "--older", "1w"]) == 0
    require_right(folder, low)
    assert main(["cache", "clean"]) == 0
    left = [path.name for path in (folder / "store").iterdir()]
    assert set(left) <= {".lock", ".use", "debian"}, left


def test_the_commands_of_the_documentation(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/package-trees.md").read_text()
    commands = "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    assert commands.count("compos ") >= 8
    write(tmp_path / "pkg", {"app": None, "other": None})
    (tmp_path / "other").mkdir()
    (tmp_path / "os.yml").write_text("services: [{name: app, image: '@pkg:pkg/app'}]\n")
    (tmp_path / "other/os.yml").write_text(f"services: [{{name: app, image: '{ORG}/app:v1'}}]\n")
    # Systems without a kernel are tars.
    alias = f'compos() {{ {sys.executable} -m compos "$@"; }}; set -o pipefail -e\n'
    script = alias + commands.replace("compos build ", "compos build -f tar ")
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert "<svg" in (tmp_path / "packages.svg").read_text()
