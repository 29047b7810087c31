"""Dockerfiles become images of the store, through each builder that there is: the same two packages,
one of which needs the other, and what goes wrong. The builders are the real ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.attestation import attested, spdx_documents
from compos.image.door import stored_image
from compos.image.model import Image
from compos.image.platform import Platform
from compos.image.store import Store
from compos.tree.flatten import image_tree
from tests.engines import Engine, buildkit_socket

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.xdist_group("docker"),
]

HOST = Platform.host()
BASE = """
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""
APP = """\
# escape=\\
ARG TAG=v0
FROM test/base:${TAG} AS first
ARG WHO
COPY . /context
RUN echo hello $WHO >/hello && \\
    # Comments do not end a step.
    cat /proc/net/dev >/devices
FROM first
COPY --from=test/other:v1 /bin/busybox /other
RUN --mount=type=bind,from=test/other:v1,source=/bin,target=/mnt cp /mnt/busybox /mounted
LABEL own=1
ENV PATH=/bin
CMD ["/bin/sh", "-c", "x"]
"""
SCAN = """
name=https://spdx.dev/Document
cat >$BUILDKIT_SCAN_DESTINATION/scan.spdx.json <<EOF
{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "$name", "subject": [],
 "predicate": {"spdxVersion": "SPDX-2.3", "name": "of a scanner"}}
EOF
"""
WAYS = ("buildx", "address", "old store", "docker", "buildah")
ATTESTED = ("buildx", "address")
REPRODUCIBLE = ("buildx", "buildah")


class Tree:
    """A tree of packages, and a store to build them into."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "the store, here")
        for name in ("base", "other"):
            self.add(name, BASE)
            shutil.copy("/bin/busybox", folder / name / "busybox")
        self.add("app", APP, "buildArgs: [WHO=you, TAG=v1]\nextra-sources: ['../more:/in/more']\n")
        (folder / "more").mkdir()
        (folder / "more" / "file").write_text("more")
        (folder / "app" / ".dockerignore").write_text("*\n")
        (folder / "app" / "link").symlink_to("nowhere")
        (folder / "app" / "tool").write_text("tool")
        (folder / "app" / "tool").chmod(0o755)

    def add(self, name: str, dockerfile: str, more: str = "") -> Path:
        path = self.folder / name
        path.mkdir()
        (path / "build.yml").write_text(
            f"image: {name}\norg: test\ntag: v1\nlabels: {{of: {name}}}\n{more}"
        )
        (path / "Dockerfile").write_text(dockerfile)
        return path

    def build(self, *names: str, flags: tuple[str, ...] = ()) -> int:
        folders = [str(self.folder / name) for name in names]
        return main(["pkg", "build", "--cache", str(self.store.root), *flags, *folders])

    def image(self, name: str) -> Image:
        full = f"docker.io/test/{name}:v1"
        return stored_image(self.store, full, self.store.named(full), HOST)

    def files(self, name: str) -> dict[str, tarfile.TarInfo]:
        """What is in an image, with the contents of small files as `pax_headers["content"]`."""
        out = self.folder / "files.tar"
        export = ("--format", "filesystem", "--outfile", str(out), f"test/{name}:v1")
        assert main(["cache", "export", "--cache", str(self.store.root), *export]) == 0
        found = {}
        with tarfile.open(out) as archive:
            for member in archive:
                small = member.isreg() and member.size < 1000
                stream = archive.extractfile(member) if small else None
                content = stream.read().decode() if stream else ""
                found[member.name] = deepcopy(member)
                found[member.name].pax_headers = {"content": content}
        out.unlink()
        return found


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def way(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The environment in which compos finds one of the ways to build."""
    name = request.param
    if name == "buildah":
        chosen = {"COMPOS_BUILDER": "buildah", "DOCKER_CONFIG": str(tmp_path / "nothing")}
        use(monkeypatch, {**chosen, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"})
        yield name
        return
    of_trixie = name in ATTESTED
    engine: Engine = request.getfixturevalue(
        "engine_of_trixie" if of_trixie else "engine_of_bookworm"
    )
    use(monkeypatch, engine.environment)
    if name == "old store":
        client: Engine = request.getfixturevalue("engine_of_trixie")
        use(monkeypatch, {**client.environment, "DOCKER_HOST": engine.environment["DOCKER_HOST"]})
    if name == "address":
        with buildkit_socket(engine, tmp_path / "buildkit.sock") as address:
            use(monkeypatch, {"COMPOS_BUILDER": address, "DOCKER_HOST": "unix:///nowhere"})
            yield name
        return
    yield name


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_each_builder(way: str, tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--provenance", "mode=max") if way in ATTESTED else ()
    assert tree.build("base", "other", "app", flags=flags) == 0, capsys.readouterr().err
    title = {"docker": "the Docker Engine's BuildKit", "buildah": "buildah"}.get(way, "buildx")
    lines = [line for line in capsys.readouterr().err.splitlines() if " is built by " in line]
    assert len(lines) == 3
    assert all(title in line for line in lines)
    image = tree.image("app")
    labels = {"of": "app", "own": "1"}
    assert labels.items() <= image.config.labels.items()
    assert (image.config.cmd, image.config.env) == (("/bin/sh", "-c", "x"), ("PATH=/bin",))
    assert bool(image.attestations) is (way in ATTESTED)
    assert attested(tree.store, image)
    files = tree.files("app")
    content = {name: one.pax_headers["content"] for name, one in files.items()}
    assert content["hello"] == "hello you\n"
    # Steps have no network but their own loopback.
    devices = [line.split(":")[0].strip() for line in content["devices"].splitlines()[2:]]
    assert devices == ["lo"]
    assert content["context/in/more/file"] == "more"
    assert content["context/.dockerignore"] == "*\n"
    assert content["context/Dockerfile"].startswith("# escape")
    assert content["context/tool"] == "tool"
    assert files["context/tool"].mode == 0o755
    assert files["context/link"].linkname == "nowhere"
    size = Path("/bin/busybox").stat().st_size
    assert files["other"].size == files["mounted"].size == size
    if way in REPRODUCIBLE:
        # On any day, the same bytes.
        digest = image.digest
        time.sleep(1)
        for one in (tree.folder / "app", tree.folder / "more"):
            subprocess.run(["find", one, "-exec", "touch", "-h", "{}", "+"], check=True)
        assert tree.build("app", flags=("--force", "--disable-cache", *flags)) == 0
        assert tree.image("app").digest == digest
        capsys.readouterr()
    # What is there is not built again; nothing is left of what was.
    assert tree.build("app") == 0
    assert "already in the store" in capsys.readouterr().err
    assert list((tree.store.root / "ingest").iterdir()) == []


@pytest.mark.parametrize("way", ["buildx", "docker", "buildah"], indirect=True)
def test_secrets_network_and_mistakes(
    way: str, tree: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret-of-the-day")
    (tree.folder / "key").write_text("key-of-the-day\n")
    step = "FROM test/base:v1\nRUN --mount=type=secret,id=token --mount=type=secret,id=key "
    tree.add("quiet", f"{step} wc -c /run/secrets/* >/sizes")
    tree.add("open", f"{step} cat /proc/net/dev >/devices", "network: true\n")
    tree.add("loud", f"{step} cat /run/secrets/token /run/secrets/key && exit 3")
    tree.add("lost", "FROM scratch\nCOPY nothing /")
    flags = ("--secret", "id=token,env=TOKEN", "--secret", f"id=key,src={tree.folder / 'key'}")
    if way == "docker":
        # It knows files only.
        (tree.folder / "token").write_text("s3cret-of-the-day")
        flags = (*flags[2:], "--secret", f"id=token,src={tree.folder / 'token'}")
    assert tree.build("base", "quiet", flags=flags) == 0, capsys.readouterr().err
    content = {name: one.pax_headers["content"] for name, one in tree.files("quiet").items()}
    assert "17 /run/secrets/token" in content["sizes"]
    assert "run/secrets/token" not in content
    status = tree.build("open", flags=flags)
    if way != "docker":
        assert len(tree.files("open")["devices"].pax_headers["content"].splitlines()) > 3
    else:
        # This engine has no network for its containers, which is what was asked for.
        assert status == 1
        assert "network bridge not found" in capsys.readouterr().err
    capsys.readouterr()
    for name, reported in (("loud", "exit"), ("lost", "nothing")):
        assert tree.build(name, flags=flags) == 1
        said = capsys.readouterr().err
        assert "error[builder-failed]" in said
        assert f"{name}/Dockerfile" in said
        assert reported in said
        assert "of-the-day" not in said
        assert tree.store.resolve(f"docker.io/test/{name}:v1") is None
    assert list((tree.store.root / "ingest").iterdir()) == []


@pytest.mark.parametrize("way", ["buildx", "docker", "buildah"], indirect=True)
def test_another_architecture(way: str, tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """Without steps that run, any builder builds for any architecture; each has its own base."""
    tree.add("files", "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n")
    tree.add("on", "FROM test/files:v1\nCOPY build.yml /\n")
    flags = ("--platforms", "linux/amd64,linux/arm64")
    assert tree.build("files", "on", flags=flags) == 0, capsys.readouterr().err
    full = "docker.io/test/on:v1"
    for arch in ("amd64", "arm64"):
        platform = Platform("linux", arch)
        image = stored_image(tree.store, full, tree.store.named(full), platform)
        assert image.config.architecture == arch
        assert set(image_tree(tree.store, image)) == {arch, "build.yml"}


def test_an_sbom_by_buildkits_scanner(
    tree: Tree,
    engine_of_trixie: Engine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, engine_of_trixie.environment)
    scanner = tree.add("scanner", f'{BASE}COPY scan /scan\nENTRYPOINT ["/bin/sh", "/scan"]\n')
    shutil.copy("/bin/busybox", scanner / "busybox")
    (scanner / "scan").write_text(SCAN)
    # Loaded at once after its build, while the engine collects BuildKit's garbage.
    assert tree.build("scanner", flags=("--docker",)) == 0, capsys.readouterr().err
    flags = ("--sbom-scanner", "test/scanner:v1", "--provenance", "mode=max")
    assert tree.build("base", flags=flags) == 0, capsys.readouterr().err
    image = tree.image("base")
    assert attested(tree.store, image)
    (document,) = spdx_documents(tree.store, image)
    assert document["name"] == "of a scanner"
    index = json.loads(tree.store.read(tree.store.named("docker.io/test/base:v1").digest))
    (manifest,) = [one for one in index["manifests"] if one["platform"]["os"] == "unknown"]
    layers = json.loads(tree.store.read(manifest["digest"]))["layers"]
    assert {layer["annotations"]["in-toto.io/predicate-type"] for layer in layers} == {
        *("https://spdx.dev/Document", "https://slsa.dev/provenance/v0.2")
    }


def test_docker_contexts(
    tree: Tree,
    engine_of_trixie: Engine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A platform's context is the one that is named, or else LinuxKit's."""
    settings = tmp_path / "client"
    shutil.copytree(engine_of_trixie.environment["DOCKER_CONFIG"], settings, symlinks=True)
    nowhere = {"DOCKER_HOST": "unix:///nowhere", "DOCKER_CONFIG": str(settings)}
    use(monkeypatch, {**engine_of_trixie.environment, **nowhere})
    for name in ("mine", "linuxkit-linux-riscv64"):
        endpoint = f"host=unix://{engine_of_trixie.socket}"
        create = ("docker", "context", "create", name, "--docker", endpoint)
        subprocess.run(create, check=True, capture_output=True)
    tree.add("files", "FROM scratch\nCOPY Dockerfile /\n")
    for platform, flags, context in (
        ("linux/arm64", ("--builders", "linux/arm64=mine"), "mine"),
        ("linux/riscv64", (), "linuxkit-linux-riscv64"),
    ):
        assert tree.build("files", flags=("--platforms", platform, *flags)) == 0
        assert f"in the Docker context {context}" in capsys.readouterr().err
    monkeypatch.setenv("LINUXKIT_BUILDERS", "linux/amd64=theirs")
    assert tree.build("files", flags=("--platforms", "linux/amd64")) == 1
    assert "error[builder-context]" in capsys.readouterr().err
