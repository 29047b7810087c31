"""The small verbs as a user meets them: the store filled, carried and cleared; files served;
metadata; completion; help."""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos import __version__
from compos.cli.main import main
from compos.image.model import ImageIndex, parse_document
from compos.image.store import Store
from tests.image.conftest import StartRegistry, docker_registry
from tests.images import AMD64, ARM64, Member, make_image, make_index, put_image
from tests.registry import FakeRegistry

__all__ = ["docker_registry"]

MEMBERS = [
    Member("bin", "dir", 0o755),
    Member("bin/app", mode=0o755, content="app"),
    Member("bin/b", "hardlink", content="bin/app"),
]


def compos(*arguments: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "compos", *arguments]
    return subprocess.run(command, capture_output=True, check=False, env=environment, input=input)


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeRegistry]:
    store = Store(tmp_path / "published")
    children = {
        platform: put_image(
            store, layers=[[*MEMBERS, Member("arch", content=str(platform))]], platform=platform
        )[0]
        for platform in (AMD64, ARM64)
    }
    make_index(store, "many:1", children)
    with FakeRegistry() as registry:
        registry.load(store, "docker.io/library/many:1", "team/many", "1")
        registry.load(store, "docker.io/library/many:1", "team/many", "latest")
        yield registry


def cache(tmp_path: Path, *arguments: str, store: str = "store") -> int:
    return main(["cache", *arguments, "--cache", str(tmp_path / store)])


def names(folder: Path) -> list[str]:
    return [
        entry.annotations["org.opencontainers.image.ref.name"] for entry in Store(folder).entries()
    ]


def test_pull_takes_all_platforms_and_adds_the_tag(
    fake: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror = ("--mirror", f"docker.io={fake.url}")
    assert cache(tmp_path, "pull", "team/many", *mirror) == 0
    assert names(tmp_path / "store") == [
        "docker.io/team/many:latest",
        "docker.io/team/many:latest-amd64",
        "docker.io/team/many:latest-arm64",
    ]
    assert "docker.io/team/many:latest sha256:" in capsys.readouterr().out
    assert len(list((tmp_path / "store/blobs/sha256").iterdir())) == 7
    assert (
        cache(tmp_path, "pull", "team/many:1", "--platform", "linux/arm64", *mirror, store="one")
        == 0
    )
    assert len(list((tmp_path / "one/blobs/sha256").iterdir())) == 4
    assert names(tmp_path / "one") == ["docker.io/team/many:1", "docker.io/team/many:1-arm64"]
    # What LinuxKit reads under that name is what skopeo does.
    subprocess.run(
        [
            "skopeo",
            "copy",
            f"oci:{tmp_path / 'one'}:docker.io/team/many:1-arm64",
            f"dir:{tmp_path / 'copied'}",
        ],
        check=True,
        capture_output=True,
    )
    assert cache(tmp_path, "rm", "team/many:1", store="one") == 0
    assert names(tmp_path / "one") == []
    assert list((tmp_path / "one/blobs/sha256").iterdir()) == []
    assert cache(tmp_path, "pull", f"{fake.host}/team/none") == 1
    assert "error[image-not-found]" in capsys.readouterr().err


def test_push_merges_indexes(
    fake: FakeRegistry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    docker_registry: StartRegistry,
) -> None:
    """Into Debian's docker-registry, read by skopeo."""
    store = Store(tmp_path / "store")
    amd = {AMD64: put_image(store, layers=[MEMBERS], platform=AMD64)[0]}
    arm = {ARM64: put_image(store, layers=[MEMBERS], platform=ARM64)[0]}
    target = f"{docker_registry()}/team/app:1"
    make_index(store, "amd:1", amd)
    make_index(store, "arm:1", arm)
    assert cache(tmp_path, "push", "amd:1", "--remote-name", target) == 0
    assert cache(tmp_path, "push", "arm:1", "--remote-name", target) == 0
    assert f"{target} already exists" in capsys.readouterr().err
    assert (
        cache(tmp_path, "push", "arm:1", "--remote-name", target, "--override", "--with-arch-tags")
        == 0
    )
    done = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{target}"],
        check=True,
        capture_output=True,
    )
    assert sorted(
        one["platform"]["architecture"] for one in json.loads(done.stdout)["manifests"]
    ) == ["amd64", "arm64"]
    done = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{target}-arm64"],
        check=True,
        capture_output=True,
    )
    assert "layers" in json.loads(done.stdout)
    assert cache(tmp_path, "push", "none:1") == 1
    assert "error[image-not-found]" in capsys.readouterr().err


@pytest.mark.parametrize("claimed", [None, "", "sha256:" + "0" * 64, "nonsense"])
def test_what_a_registry_claims_of_a_tag_decides_nothing(
    fake: FakeRegistry, tmp_path: Path, claimed: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The header is a SHOULD, and proxies drop it: a tag that is there stays, an image that is only
    here stays."""
    target = f"{fake.host}/team/many:1"
    assert cache(tmp_path, "pull", target) == 0
    mine = make_image(Store(tmp_path / "store"), "mine:1", [MEMBERS])
    fake.digest_header = claimed
    fake.requests.clear()
    assert cache(tmp_path, "push", "mine:1", "--remote-name", target) == 0
    assert "already exists" in capsys.readouterr().err
    assert {request.method for request in fake.requests} <= {"GET", "HEAD"}
    # Is it the same? Here it is, whatever the header says; there it is not, even if the header says
    # so.
    assert cache(tmp_path, "push", target, "--override") == 0
    assert "is up to date" in capsys.readouterr().err
    Store(tmp_path / "store").tag(target, Store(tmp_path / "store").named(mine.name))
    fake.digest_header = mine.digest
    assert cache(tmp_path, "rm", target, "--published-only") == 0
    assert target in names(tmp_path / "store")


@pytest.mark.parametrize(
    ("form", "transport"), [("oci", "oci-archive"), ("docker", "docker-archive")]
)
def test_exports_are_read_by_skopeo_and_by_us(
    fake: FakeRegistry,
    tmp_path: Path,
    form: str,
    transport: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cache(tmp_path, "pull", f"{fake.host}/team/many:1") == 0
    out = tmp_path / "out.tar"
    flags = ("--format", form, "--platform", "linux/arm64", "--name", "team/other:v2")
    for _ in range(2):
        out.write_bytes(b"x" * 10_000_000)
        assert (
            cache(tmp_path, "export", f"{fake.host}/team/many:1", "--outfile", str(out), *flags)
            == 0
        )
    copied = tmp_path / "copied"
    subprocess.run(
        [
            "skopeo",
            "--override-arch=arm64",
            "--override-os=linux",
            "copy",
            f"{transport}:{out}",
            f"dir:{copied}",
        ],
        check=True,
        capture_output=True,
    )
    capsys.readouterr()
    assert cache(tmp_path, "import", str(out), store="other") == 0
    assert capsys.readouterr().out == "docker.io/team/other:v2\n"
    assert names(tmp_path / "other") == ["docker.io/team/other:v2"]
    again = compos(
        "cache",
        "export",
        "team/other:v2",
        "--outfile",
        "-",
        *flags,
        "--cache",
        str(tmp_path / "other"),
    )
    assert again.returncode == 0
    if form == "oci":
        assert again.stdout == out.read_bytes()


def test_an_image_that_the_store_has_not_got(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (["rm"], ["push"], ["export", "--outfile", str(tmp_path / "out.tar")]):
        assert cache(tmp_path, *verb, "none:1") == 1
        assert "error[image-not-found]" in capsys.readouterr().err


def test_a_root_filesystem_is_exported(fake: FakeRegistry, tmp_path: Path) -> None:
    name = f"{fake.host}/team/many:1"
    assert cache(tmp_path, "pull", name) == 0
    assert (
        cache(
            tmp_path,
            "export",
            name,
            "--outfile",
            str(tmp_path / "root.tar"),
            "--format",
            "filesystem",
            "--platform",
            "linux/amd64",
        )
        == 0
    )
    with tarfile.open(tmp_path / "root.tar") as archive:
        assert {member.name: member.isreg() or member.islnk() for member in archive} == {
            "bin": False,
            "bin/app": True,
            "bin/b": True,
            "arch": True,
        }


def test_what_skopeo_saves_is_imported_from_standard_input(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    store = Store(tmp_path / "made")
    make_image(store, "a.example/team/app:1", [MEMBERS])
    out = tmp_path / "saved.tar"
    subprocess.run(
        [
            "skopeo",
            "copy",
            f"oci:{store.root}:a.example/team/app:1",
            f"docker-archive:{out}:a.example/team/app:1",
        ],
        check=True,
        capture_output=True,
    )
    done = compos(
        "cache", "import", "-", "--cache", str(tmp_path / "store"), input=out.read_bytes()
    )
    assert (done.returncode, done.stdout) == (0, b"a.example/team/app:1\n")
    assert names(tmp_path / "store") == ["a.example/team/app:1"]


def test_archives_without_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("index.json")
        data = b'{"schemaVersion": 2, "manifests": []}'
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    assert cache(tmp_path, "import", str(tmp_path / "a.tar")) == 1
    assert "error[archive-image]" in capsys.readouterr().err


def test_remove_keeps_what_others_need(fake: FakeRegistry, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    make_image(store, "one:1", [MEMBERS, [Member("own", content="1")]])
    make_image(store, "two:1", [MEMBERS])
    yaml = tmp_path / "os.yml"
    yaml.write_text("init: ['one:1', 'two:1']")
    build = [
        "build",
        "--cache",
        str(store.root),
        "--arch",
        "amd64",
        "--no-sbom",
        "--o",
        str(tmp_path / "o.tar"),
        str(yaml),
    ]
    assert main(build) == 0
    assert len(list((store.root / "derived/layer-index").iterdir())) == 2
    assert cache(tmp_path, "rm", "one:1") == 0
    assert len(list((store.root / "derived/layer-index").iterdir())) == 1
    yaml.write_text("init: ['two:1']")
    assert main(build) == 0
    assert names(store.root) == ["docker.io/library/two:1"]


def test_published_only(
    fake: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cache(tmp_path, "pull", f"{fake.host}/team/many:1") == 0
    make_image(Store(tmp_path / "store"), f"{fake.host}/team/mine:1", [MEMBERS])
    assert cache(tmp_path, "rm", f"{fake.host}/team/mine:1", "--published-only") == 0
    assert "is kept" in capsys.readouterr().err
    assert cache(tmp_path, "clean", "--published-only") == 0
    assert names(tmp_path / "store") == [f"{fake.host}/team/mine:1"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    folder = tmp_path / "served"
    (folder / "sub").mkdir(parents=True)
    (folder / "file.txt").write_text("0123456789")
    (folder / "sub/index.html").write_text("<h1>sub</h1>")
    (tmp_path / "secret").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "in").symlink_to("file.txt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [
        sys.executable,
        "-m",
        "compos",
        "serve",
        "--port",
        "127.0.0.1:0",
        "--directory",
        str(folder),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    yield int(line.rstrip("/\n").rpartition(":")[2])
    process.terminate()
    process.wait(10)
    process.stderr.close()


def ask(
    port: int, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    answer = (
        response.status,
        response.read(),
        {name.lower(): value for name, value in response.getheaders()},
    )
    connection.close()
    return answer


def test_serve(server: int) -> None:
    status, body, headers = ask(server, "/file.txt")
    assert (status, body, headers["content-type"]) == (200, b"0123456789", "text/plain")
    assert ask(server, "/file.txt", If_Modified_Since=headers["last-modified"])[0] == 304
    assert ask(server, "/file.txt", "POST")[1] == b"0123456789"
    assert b"file.txt" in ask(server, "/")[1]
    assert ask(server, "/sub")[0] == 301
    assert ask(server, "/sub/")[1] == b"<h1>sub</h1>"
    assert ask(server, "/in")[1] == b"0123456789"
    for path in ("/none", "/../secret", "/%2e%2e/secret", "/out", "/sub/../../secret"):
        status, body, _ = ask(server, path)
        assert (status, b"secret\n" in body or body == b"secret") == (404, False), path


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-100", 206, b"56789"),
        ("bytes=20-", 416, b""),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_serve_ranges(server: int, asked: str, status: int, body: bytes) -> None:
    found = ask(server, "/file.txt", Range=asked)
    assert found[:2] == (status, body)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (["--port", "x"], "serve-address"),
        (["--directory", "/none/at/all"], "serve-folder"),
        (["--port", "127.0.0.1:99999"], "serve-address"),
    ],
)
def test_serve_refuses(flags: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *flags]) == 1
    assert f"error[{error}]" in capsys.readouterr().err


@pytest.mark.slow
def test_metadata_is_read_by_xorriso(tmp_path: Path) -> None:
    iso = tmp_path / "data.iso"
    iso.write_bytes(b"x" * 1_000_000)
    assert main(["metadata", "create", str(iso), '{"a": "ü"}']) == 0
    done = subprocess.run(
        [
            "xorriso",
            "-osirrox",
            "on",
            "-indev",
            f"stdio:{iso}",  # it takes what lies below /dev for a drive
            "-extract",
            "/config",
            str(tmp_path / "config"),
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "config").read_text() == '{"a": "ü"}'
    first = iso.read_bytes()
    assert len(first) == 22 * 2048
    time.sleep(1.1)
    assert main(["metadata", "create", str(iso), '{"a": "ü"}']) == 0
    assert iso.read_bytes() == first


def test_bash_completes_verbs_and_flags(tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_bytes(compos("completion", "bash").stdout)
    wrapper = tmp_path / "compos"
    wrapper.write_text(
        f'#!/bin/sh\nPYTHONPATH="{os.pathsep.join(sys.path)}" exec {sys.executable} -m compos "$@"\n'
    )
    wrapper.chmod(0o755)
    for words, expected in (
        (["compos", "bu"], "build"),
        (["compos", "build", "--decom"], "--decompress-kernel"),
    ):
        line = f'source {script}; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _compos_completion compos; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(
            ["bash", "-c", line],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert expected in done.stdout.split()
    assert compos("completion", "powershell").returncode == 1
    assert b"#compdef compos" in compos("completion", "zsh").stdout


def test_version() -> None:
    assert compos("version", "--short").stdout.decode() == f"{__version__}\n"
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    if head.returncode == 0:
        assert compos("version", "--commit").stdout.decode() == head.stdout
    else:
        assert compos("version", "--commit").stdout == b"unknown\n"


def test_help() -> None:
    assert compos("help").stdout == compos("--help").stdout
    assert compos("help", "cache", "ls").stdout == compos("cache", "ls", "--help").stdout
    assert compos("help", "none").returncode == 1


def test_unforeseen_errors_are_one_line_and_a_trace_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("compos.config.load.load", broken)
    (tmp_path / "os.yml").write_text("{}")
    assert main(["build", str(tmp_path / "os.yml")]) == 1
    said = capsys.readouterr().err
    assert "error[internal]: ZeroDivisionError: oh" in said
    assert "-v 3" in said
    with pytest.raises(ZeroDivisionError):
        main(["build", "-v", "3", str(tmp_path / "os.yml")])


def test_the_index_of_a_pulled_image_is_whole(fake: FakeRegistry, tmp_path: Path) -> None:
    assert cache(tmp_path, "pull", f"{fake.host}/team/many:1") == 0
    store = Store(tmp_path / "store")
    root = store.resolve(f"{fake.host}/team/many:1")
    assert root is not None
    _, index = parse_document(store.read(root.digest))
    assert isinstance(index, ImageIndex)
    assert all(store.has(one.digest, one.size) for one in index.manifests)


@pytest.mark.parametrize("name", ["system", "h.example/x@sha256:" + "0" * 64, ""])
def test_a_name_that_cannot_be_pushed_is_seen_first(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the YAML is even read."""
    assert main(["build", "-f", "oci", "--push", name, "not-there.yml"]) == 1
    assert "error[image-reference]" in capsys.readouterr().err
