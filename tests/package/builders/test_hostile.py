"""What a builder hands back is believed no more than any other image; and what becomes of a builder's
program that fails, prints secrets or is interrupted."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from compos.cli.main import main
from compos.errors import PackageError
from compos.image.attestation import spdx_documents
from compos.image.digest import Digest
from compos.image.door import stored_image
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.builders import build, choice
from compos.package.builders.program import answer, run, secret_values
from compos.package.builders.request import BuildOptions, Built, Request
from compos.package.labels import BUILT_BY
from compos.version import __version__
from tests.images import Member, make_image

AMD64 = Platform("linux", "amd64")
NAME = "docker.io/test/app:v1"
Change = Callable[[Path, dict[str, Any]], None]


class Builder:
    """Hands back a layout that `make` has made in the folder that it gets."""

    title = "a stranger"

    def __init__(self, make: Callable[[Path], None]) -> None:
        self._make = make

    def obstacle(self) -> str:
        return ""

    def build(self, request: Request) -> Built:
        path = request.scratch / "image"
        path.mkdir()
        self._make(path)
        return Built(path)


def layout(path: Path, change: Change, **image: Any) -> None:
    """An OCI layout of one small image, changed: `change` gets the folder and index.json."""
    store = Store(path)
    labels = {BUILT_BY: f"compos {__version__}", **image.get("labels", {"of": "app"})}
    platform = image.get("platform", AMD64)
    file = Member("file", content=image.get("content", "x") * 999)
    layers = [[file, *image.get("members", ())]]
    make_image(store, NAME, layers, {"Labels": labels}, platform=platform, compression="plain")
    index = json.loads((path / "index.json").read_text())
    change(path, index)
    (path / "index.json").write_text(json.dumps(index))


def nothing(path: Path, index: dict[str, Any]) -> None:
    pass


def two(path: Path, index: dict[str, Any]) -> None:
    other = {**index["manifests"][0], "annotations": {"org.opencontainers.image.ref.name": "x"}}
    make_image(Store(path), "docker.io/test/else:v1", [[Member("y")]])
    found = json.loads((path / "index.json").read_text())["manifests"]
    index["manifests"] = [*found, other]


def without_layers(path: Path, index: dict[str, Any]) -> None:
    for digest in _blobs(path, index):
        if b'"layers"' not in digest.read_bytes() and b'"rootfs"' not in digest.read_bytes():
            digest.unlink()


def lying(path: Path, index: dict[str, Any]) -> None:
    for one in _blobs(path, index):
        if b'"layers"' not in one.read_bytes():
            one.chmod(0o644)
            one.write_bytes(b"x" * one.stat().st_size)


def bad_json(path: Path, index: dict[str, Any]) -> None:
    index["manifests"] = "all"


def empty(path: Path, index: dict[str, Any]) -> None:
    index["manifests"] = []


def outside(path: Path, index: dict[str, Any]) -> None:
    """Its blobs are links to files of the machine."""
    for one in _blobs(path, index):
        one.unlink()
        one.symlink_to("/etc/passwd")


def _blobs(path: Path, index: dict[str, Any]) -> list[Path]:
    root = path / Digest(index["manifests"][0]["digest"]).path
    return sorted(one for one in root.parent.iterdir() if one != root)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "build.yml").write_text("image: app\norg: test\ntag: v1\nlabels: {of: app}\n")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    return folder


def built(
    package: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], *flags: str
) -> int:
    monkeypatch.setattr(build, "choose", lambda *_: Builder(make))
    store = str(package.parent / "store")
    platform = ("--platforms", "linux/amd64", "--force")
    return main(["pkg", "build", "--cache", store, *platform, *flags, str(package)])


@pytest.mark.parametrize(
    ("change", "image", "error"),
    [
        (two, {}, "archive-image"),
        (without_layers, {}, "archive-incomplete"),
        (lying, {}, "digest-mismatch"),
        (bad_json, {}, "image-malformed"),
        (empty, {}, "archive-image"),
        (outside, {}, "archive-incomplete"),
        (nothing, {"platform": Platform("linux", "arm64")}, "image-platform"),
        (nothing, {"labels": {}}, "builder-output"),
        (nothing, {"labels": {"of": "something else"}}, "builder-output"),
    ],
)
def test_refused(
    change: Change,
    image: dict[str, Any],
    error: str,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert built(package, monkeypatch, lambda path: layout(path, nothing)) == 0
    store = Store(package.parent / "store")
    before = store.named(NAME)
    capsys.readouterr()
    assert built(package, monkeypatch, lambda path: layout(path, change, content="y", **image)) == 1
    said = capsys.readouterr().err
    assert f"error[{error}]" in said
    assert f"{package}/Dockerfile" in said
    # The name stands for what it stood for, and nothing lies about.
    assert Store(store.root).named(NAME) == before
    assert list((store.root / "ingest").iterdir()) == []


def test_an_image_without_an_sbom_gets_one(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Member("var/lib/dpkg/status", content="Package: bash\nVersion: 5.2\n")
    make = partial(layout, change=nothing, members=[database])
    assert built(package, monkeypatch, make) == 0
    store = Store(package.parent / "store")
    image = stored_image(store, NAME, store.named(NAME), AMD64)
    (document,) = spdx_documents(store, image)
    assert [one["name"] for one in document["packages"]] == ["test/app", "bash"]
    assert built(package, monkeypatch, make, "--sbom-scanner", "false") == 0
    image = stored_image(store, NAME, Store(store.root).named(NAME), AMD64)
    assert image.attestations == ()


def test_no_archive_at_all(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def file(path: Path) -> None:
        path.rmdir()
        path.write_bytes(b"no tar" * 1000)

    for make, error in ((file, "archive-damaged"), (Path.rmdir, "archive-missing")):
        assert built(package, monkeypatch, make) == 1
        assert f"error[{error}]" in capsys.readouterr().err


def test_a_file_that_changes_meanwhile(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def changing(path: Path) -> None:
        layout(path, nothing)
        (package / "new").touch()

    assert built(package, monkeypatch, changing) == 1
    assert "error[package-changed]" in capsys.readouterr().err
    assert Store(package.parent / "store").resolve(NAME) is None


@pytest.mark.parametrize(
    ("dockerfile", "error"),
    [
        ("RUN x", "dockerfile-image"),
        ("FROM Not/A:Name", "image-reference"),
        ("FROM compos/nothing-of-ours:v1", "brick-unknown"),
        ("FROM --platform=x scratch\nFROM a", "platform-syntax"),
        (None, "package-dockerfile"),
    ],
)
def test_dockerfiles_that_cannot_be_built(
    dockerfile: str | None,
    error: str,
    package: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = package / "Dockerfile"
    if dockerfile is None:
        path.unlink()
        path.symlink_to("/etc/passwd")
    else:
        path.write_text(dockerfile)
    assert built(package, monkeypatch, lambda path: layout(path, nothing)) == 1
    said = capsys.readouterr().err
    assert f"error[{error}]" in said
    assert str(path) in said


def test_no_builder(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(package))
    command = ["pkg", "build", "--cache", str(package.parent / "store"), str(package)]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "error[builder-missing]" in said
    for name in choice.NAMES:
        assert f"{name}: " in said
    for flags, error in (
        (("--builder", "buildkti"), "builder-unknown"),
        (("--builder", "buildah"), "builder-missing"),
        (("--builder", "tcp://127.0.0.1:1"), "builder-missing"),
        (("--builders", "linux/amd64"), "builder-context"),
        (("--builders", "x=y"), "platform-syntax"),
        (("--builders", f"{Platform.host()}=mine"), "builder-context"),
    ):
        assert main([*command, *flags]) == 1
        assert f"error[{error}]" in capsys.readouterr().err


def test_buildctl_gets_what_it_needs(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No Debian has it: a program in its place records what it was asked for, and answers with an
    archive of the image that the Dockerfile means."""
    programs = package.parent / "programs"
    programs.mkdir()
    record = package.parent / "record.json"
    layout(package.parent / "image", nothing)
    (programs / "buildctl").write_text(
        f"""#!{sys.executable}
import json, pathlib, subprocess, sys
arguments = sys.argv[1:]
if "debug" in arguments:
    sys.exit()
local = dict(a.split("=", 1) for b, a in zip(arguments, arguments[1:]) if b == "--local")
files = {{
    name: sorted(str(p.relative_to(path)) for p in pathlib.Path(path).rglob("*"))
    for name, path in local.items()
}}
json.dump([arguments, files], open({str(record)!r}, "w"))
target = next(a.partition('"dest=')[2].partition('"')[0] for a in arguments if "dest=" in a)
subprocess.run(["/bin/tar", "-cf", target, "-C", {str(package.parent / "image")!r}, "."])
"""
    )
    (programs / "buildctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    store = Store(package.parent / "store")
    make_image(store, "docker.io/test/base:v1", [[Member("x")]])
    (package / "Dockerfile").write_text("FROM test/base:v1\n")
    (package / ".dockerignore").write_text("*\n")
    (package / "out").symlink_to("/etc")
    more = package.parent / "more"
    more.mkdir()
    (more / "file").touch()
    recipe = (package / "build.yml").read_text()
    (package / "build.yml").write_text(
        f"{recipe}buildArgs: [A=b c]\nextra-sources: ['../more:/m']\n"
    )
    command = ["pkg", "build", "--cache", str(store.root), "--platforms", "linux/amd64"]
    address = ("--builder", "tcp://127.0.0.1:1", "--secret", "id=x,env=X", str(package))
    assert main([*command, *address]) == 0, capsys.readouterr().err
    arguments, files = json.loads(record.read_text())
    assert arguments[:3] == ["--addr", "tcp://127.0.0.1:1", "build"]
    options = dict(
        value.split("=", 1) for flag, value in itertools.pairwise(arguments) if flag == "--opt"
    )
    base = store.named("docker.io/test/base:v1").digest
    expected = {
        "filename": "Dockerfile",
        "platform": "linux/amd64",
        "force-network-mode": "none",
        "build-arg:A": "b c",
        "build-arg:SOURCE_DATE_EPOCH": "1492533000",
        "label:of": "app",
        "context:test/base:v1": f"oci-layout://compos@{base}",
    }
    assert expected.items() <= options.items()
    assert "no-cache" not in options
    assert f"compos={store.root}" in arguments
    assert "rewrite-timestamp=true" in arguments[arguments.index("--output") + 1].split(",")
    assert arguments[arguments.index("--secret") + 1] == "id=x,env=X"
    assert files["context"] == [".dockerignore", "Dockerfile", "build.yml", "m", "m/file", "out"]
    assert files["dockerfile"] == ["Dockerfile", "Dockerfile.dockerignore"]
    # What would be written through a link of the package's is not.
    (package / "build.yml").write_text(f"{recipe}extra-sources: ['../more:/out/m']\n")
    assert main([*command, *address]) == 1
    assert "error[package-context]" in capsys.readouterr().err


def test_secrets_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("first line\nsecond line\n")
    monkeypatch.setenv("TOKEN", "of-the-day")
    monkeypatch.setenv("SHORT", "ab")
    assert secret_values(
        (f"id=a,src={tmp_path / 'file'}", "id=b,env=TOKEN", "id=c,env=SHORT", "id=d,src=/none")
    ) == ["first line\nsecond line", "second line", "first line", "of-the-day"]
    assert secret_values(("id=TOKEN", "TOKEN", "")) == ["of-the-day"]


def test_a_program_that_fails() -> None:
    script = (
        "for i in $(seq 50); do echo line $i of-the-day; done; printf '\\033[1mred\\r\\n'; exit 3"
    )
    with pytest.raises(PackageError) as caught:
        run("it", "place", ["sh", "-c", script], hidden=["of-the-day"])
    assert (caught.value.id, caught.value.place) == ("builder-failed", "place")
    assert "(exit status 3)" in caught.value.message
    lines = (caught.value.excerpt or "").splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("  line 32 ***", "  red", 20)
    with pytest.raises(PackageError, match="cannot be started: no such file"):
        run("it", "place", ["/nowhere"])
    assert answer("/nowhere")[0] == 127
    assert answer("sh", "-c", "echo a; exit 5") == (5, "a")


def test_a_program_that_does_not_read() -> None:
    def feed(out: BinaryIO) -> None:
        for _ in range(100):
            out.write(b"x" * 65536)

    run("it", "place", ["true"], feed=feed)
    with pytest.raises(PackageError, match="exit status 4"):
        run("it", "place", ["sh", "-c", "exit 4"], feed=feed)


def test_a_context_that_fails_ends_the_program(tmp_path: Path) -> None:
    def feed(out: BinaryIO) -> None:
        out.write(b"x")
        raise PackageError("package-changed", "changed")

    child = tmp_path / "child"
    script = f"sleep 3600 & echo $! >{child}.new; mv {child}.new {child}; wait"
    with pytest.raises(PackageError, match="changed"):
        run("it", "place", ["sh", "-c", f"cat >/dev/null & {script}"], feed=_waiting(child, feed))
    _gone(int(child.read_text()))


@pytest.mark.slow
def test_an_interrupt_ends_the_program(tmp_path: Path) -> None:
    child = tmp_path / "child"
    script = f"sleep 3600 & echo $! >{child}.new; mv {child}.new {child}; wait"

    def interrupt() -> None:
        while not child.exists():
            time.sleep(0.01)
        # The program may be quicker than what starts it.
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell has its background jobs ignore interrupts, and so would this process.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            run("it", "place", ["sh", "-c", script])
    finally:
        signal.signal(signal.SIGINT, before)
    _gone(int(child.read_text()))


def _waiting(path: Path, feed: Callable[[BinaryIO], None]) -> Callable[[BinaryIO], None]:
    def wait(out: BinaryIO) -> None:
        while not path.exists():
            time.sleep(0.01)
        feed(out)

    return wait


def _gone(process: int) -> None:
    """Wait until a process has ended; nobody may have taken notice of it yet."""
    end = time.monotonic() + 60
    with suppress(FileNotFoundError):
        while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            if time.monotonic() > end:
                os.kill(process, signal.SIGKILL)
                pytest.fail("what the program has started was not ended")
            time.sleep(0.05)


def test_options_are_one_record() -> None:
    assert choice.parse_builders("linux/arm64=a, linux/amd64=tcp://b:1,") == {
        "linux/arm64": "a",
        "linux/amd64": "tcp://b:1",
    }
    assert BuildOptions().builder == ""


@pytest.mark.parametrize("given", ["soon", "-1", "9" * 12, "1.5"])
def test_an_epoch_that_is_none(
    given: str, package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    assert built(package, monkeypatch, lambda path: layout(path, nothing)) == 1
    assert "error[package-epoch]" in capsys.readouterr().err
