"""Sources, merging, labels, and several mistakes in one run: docs/linuxkit.md#1.6, 2.1, 2.2, 2.4,
4, docs/linuxkit.md#N6, #N14."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.cli.main import main
from compos.config.load import decode_label, load
from compos.config.model import Config, Kernel, Settings
from compos.config.sources import default_name
from compos.errors import CombinedError, ComposError, ConfigError
from tests.certificate import self_signed
from tests.config.reading import config, errors

SOURCE = b"""files:
- path: a
  source: /etc/passwd
- {path: b, source: ~/.ssh/id, optional: true}
- {path: c, contents: c}
arch: {amd64: {files: [{path: d, source: /d}]}}
"""


class Answers(BaseHTTPRequestHandler):
    """Serves what its server's `pages` say: a status (503 once, then 200), a body, and where to
    go."""

    def do_GET(self) -> None:
        pages = self.server.pages  # type: ignore[attr-defined]
        status, body, location = pages[self.path]
        if status == 503:
            pages[self.path] = (200, body, location)
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.pages = {  # type: ignore[attr-defined]
        "/a.yml?token=secret": (200, b"init: [a]", None),
        "/moved": (302, b"", "/a.yml?token=secret"),
        **{
            f"/moved/{status}": (status, b"", "/a.yml?token=secret")
            for status in (301, 303, 307, 308)
        },
        "/moved/nowhere": (302, b"init: [a]", None),
        "/large": (200, b"# " + b"x" * (16 << 20), None),
        "/circle": (302, b"", "/circle"),
        "/file": (302, b"", "file:///etc/passwd"),
        "/busy": (503, b"init: [a]", None),
        "/gone": (404, b"init: [a]", None),
        "/bad?token=secret": (200, b"inti: [a]", None),
        "/template": (200, b"init: ['@pkg:x']", None),
        "/local": (
            200,
            b"include: ['source']\ninit: ['oci:/etc']\nvolumes: [{name: v, image: 'docker-archive:/x'}]",
            None,
        ),
        "/source": (200, SOURCE, None),
        "/to-source": (302, b"", "/source"),
    }
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "page", ["/a.yml?token=secret", "/moved", *(f"/moved/{n}" for n in (301, 303, 307, 308))]
)
def test_urls(site: str, page: str) -> None:
    assert load([site + page]).init == ("a",)


def test_a_server_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    certificate, context = self_signed(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.pages = {"/a.yml": (200, b"init: [a]", None)}  # type: ignore[attr-defined]
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_port}/a.yml"
    try:
        assert load([url], certificates=(str(certificate),)).init == ("a",)
        with pytest.raises(ComposError) as caught:
            load([url])
        assert caught.value.id == "network-tls"
        assert main(["--cert-file", str(certificate), "config", url]) == 0
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_that_is_busy_is_asked_again(site: str) -> None:
    assert load([site + "/busy"]).init == ("a",)


@pytest.mark.parametrize(
    ("page", "id"),
    [
        ("/gone", "config-source"),
        ("/circle", "config-source"),
        ("/moved/nowhere", "config-source"),
        ("/large", "yaml-too-large"),
        ("/file", "config-source"),
        ("/bad?token=secret", "config-unknown-key"),
        ("/template", "config-template"),
    ],
)
def test_urls_that_give_no_system(site: str, page: str, id: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([site + page])
    assert caught.value.id == id
    assert (caught.value.place or "").startswith(f"{site}{page.partition('?')[0]}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("page", ["/source", "/to-source", "/local"])
@pytest.mark.parametrize("included", [False, True])
def test_what_was_fetched_reads_nothing_here(
    site: str, page: str, included: bool, tmp_path: Path
) -> None:
    """Directly, through a redirect, included by a local file, and included by what was fetched."""
    (tmp_path / "os.yml").write_text(
        f"include: ['{site}{page}']\nfiles: [{{path: x, source: /etc/hostname}}]\n"
    )
    sources = [str(tmp_path / "os.yml") if included else site + page]
    with pytest.raises(CombinedError) as caught:
        load(sources, architecture="amd64")
    found = [(error.id, str(error.place).rpartition("/")[2]) for error in caught.value.errors]
    name = "source" if page == "/local" else page[1:]
    expected = [
        ("config-local-file", f"{name}:3:11: files[0].source"),
        ("config-local-file", f"{name}:4:21: files[1].source"),
        ("config-local-file", f"{name}:6:42: arch.amd64.files[0].source"),
    ]
    if page == "/local":
        expected += [
            ("config-template", "local:2:8: init[0]"),
            ("config-template", "local:3:28: volumes[0].image"),
        ]
    assert sorted(found) == sorted(expected)
    assert all("--allow-local-files" in str(error.hint) for error in caught.value.errors)
    assert len(load(sources, architecture="amd64", allow_local_files=True).files) == 4 + included


def test_a_server_that_is_not_there(site: str) -> None:
    with pytest.raises(ComposError) as caught:
        load([f"{site.rpartition(':')[0]}:1/x"])
    assert caught.value.id == "network-connect"


def test_files_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("init: [a]")
    (tmp_path / "b.yml").write_text("init: [b]")
    found = load(
        [str(tmp_path / "a.yml"), "-", str(tmp_path / "b.yml")], stdin=lambda: b"init: [c]"
    )
    assert found.init == ("a", "c", "b")
    assert [mark.file for mark in found.init_marks] == [
        str(tmp_path / "a.yml"),
        "<stdin>",
        str(tmp_path / "b.yml"),
    ]


def test_all_sources_are_looked_at(tmp_path: Path) -> None:
    """Mistakes come in the order of the sources, and within one in the order of its lines."""
    (tmp_path / "a.yml").write_text("services:\n- name: x\n  image: ''\ninti: []\n")
    (tmp_path / "b.yml").write_text("init: [a\n")
    (tmp_path / "c.yml").write_text("init: [a]\nfoo: 1\n")
    missing = str(tmp_path / "missing.yml")
    with pytest.raises(CombinedError) as caught:
        load(
            [
                missing,
                *(str(tmp_path / name) for name in ("a.yml", "b.yml", "c.yml")),
                str(tmp_path),
                "\0",
            ]
        )
    assert [
        (error.id, Path((error.place or "").partition(":")[0]).name)
        for error in caught.value.errors
    ] == [
        ("config-source", "missing.yml"),
        ("config-image", "a.yml"),
        ("config-unknown-key", "a.yml"),
        ("yaml-syntax", "b.yml"),
        ("config-unknown-key", "c.yml"),
        ("config-source", tmp_path.name),
        ("config-source", "\0"),
    ]


@pytest.mark.parametrize(
    ("data", "id"),
    [
        (b"", "yaml-empty"),
        (b"# x\n", "yaml-empty"),
        (b" " * ((16 << 20) + 1), "yaml-too-large"),
        (b"\xff", "yaml-encoding"),
    ],
)
def test_input_that_is_no_yaml(data: bytes, id: str) -> None:
    assert [error.id for error in errors(data)] == [id]


def test_standard_input_twice_is_empty_the_second_time() -> None:
    rest = [b"init: [a]"]
    with pytest.raises(ConfigError) as caught:
        load(["-", "-"], stdin=lambda: rest.pop() if rest else b"")
    assert caught.value.id == "yaml-empty"


def merged(tmp_path: Path, *texts: str) -> Config:
    paths = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.yml"
        path.write_text(text)
        paths.append(str(path))
    return load(paths)


@pytest.mark.parametrize(
    ("one", "other", "kernel"),
    [
        ("image: a, cmdline: b, binary: c", "image: d", Kernel("d", "b", "c")),
        ("image: a, cmdline: b", "image: '', cmdline: ''", Kernel("a", "b")),
        ("image: a, cmdline: b", "cmdline: c", Kernel("a", "c")),
        ("tar: a, ucode: b", "tar: ''", Kernel(tar="", ucode="b")),
        ("tar: a, ucode: b", "ucode: ''", Kernel(tar="a", ucode="")),
    ],
)
def test_kernels_are_merged_by_field(tmp_path: Path, one: str, other: str, kernel: Kernel) -> None:
    assert merged(tmp_path, f"kernel: {{{one}}}", f"kernel: {{{other}}}").kernel == kernel


def test_a_kernel_s_image_is_placed_in_the_file_that_names_it(tmp_path: Path) -> None:
    kernel = merged(
        tmp_path,
        "kernel: {image: a, binary: c, tar: d}",
        "kernel: {cmdline: b, binary: '', tar: e, image: ''}",
    ).kernel
    assert kernel is not None
    assert str(kernel.mark.at("binary")) == f"{tmp_path}/0.yml:1:28: kernel.binary"
    assert str(kernel.mark.at("tar")) == f"{tmp_path}/1.yml:1:39: kernel.tar"
    assert str(kernel.mark.at("image")) == f"{tmp_path}/0.yml:1:17: kernel.image"
    assert str(kernel.mark.at("cmdline")) == f"{tmp_path}/1.yml:1:19: kernel.cmdline"


def test_lists_are_appended(tmp_path: Path) -> None:
    found = merged(
        tmp_path,
        "{init: [a], onboot: [{name: x, image: a}], files: [{path: a, contents: a}], volumes: "
        "[{name: a}]}",
        "{init: [a], onboot: [{name: x, image: b}], files: [{path: a, contents: b}], volumes: "
        "[{name: b}]}",
        "{onshutdown: [{name: x, image: c}], services: [{name: x, image: d}]}",
    )
    assert found.init == ("a", "a")
    assert [entry.image for entry in (*found.onboot, *found.onshutdown, *found.services)] == [
        "a",
        "b",
        "c",
        "d",
    ]
    assert [file.contents for file in found.files] == ["a", "b"]
    assert [volume.name for volume in found.volumes] == ["a", "b"]


@pytest.mark.parametrize("section", ["services", "volumes"])
@pytest.mark.parametrize("apart", [False, True])
def test_names_that_stand_twice(tmp_path: Path, section: str, apart: bool) -> None:
    entry = "{name: a, image: b}"
    texts = [f"{section}: [{entry}]\n"] * 2 if apart else [f"{section}: [{entry}, {entry}]"]
    with pytest.raises(ConfigError) as caught:
        merged(tmp_path, *texts)
    assert caught.value.id == "config-duplicate-name"
    assert f"{tmp_path}/0.yml:1" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "onboot: [{name: a, image: b}, {name: a, image: c}]",
        "onshutdown: [{name: a, image: b}, {name: a, image: c}]",
        "{onboot: [{name: a, image: b}], services: [{name: a, image: c}]}",
    ],
)
def test_names_that_may_stand_twice(text: str) -> None:
    config(text)


VOLUMES = "volumes: [{name: rw}, {name: ro, readonly: true}]\n"


@pytest.mark.parametrize(
    ("fields", "id"),
    [
        ("binds: ['rw:/a', 'rw:/b:rshared', 'ro:/c:ro', '/d:/d']", None),
        ("binds.add: ['rw:/a']", None),
        ("mounts: [{type: bind, source: rw, destination: /a}]", None),
        ("mounts: [{type: bind, source: ro, destination: /a, options: [ro]}]", None),
        ("mounts: [{type: bind, source: ro, destination: /a, options: [x, ro, rw]}]", None),
        ("mounts: [{type: tmpfs, source: rv, destination: /a}]", None),
        ("runtime: {mounts: [{type: bind, source: rv, destination: /a}]}", None),
        ("binds: ['rv:/a']", "config-volume"),
        ("binds: ['./x:/a']", "config-volume"),
        ("binds.add: ['rv:/a']", "config-volume"),
        ("binds: ['ro:/a']", "config-volume"),
        ("binds: ['ro:/a:ro,rshared']", "config-volume"),
        ("mounts: [{type: bind, source: rv, destination: /a}]", "config-volume"),
        ("mounts: [{type: bind, destination: /a}]", "config-volume"),
        ("mounts: [{type: bind, source: ro, destination: /a}]", "config-volume"),
        ("mounts: [{type: bind, source: ro, destination: /a, options: [rw, ro]}]", "config-volume"),
        ("uid: b, gid: other, additionalGids: [root, b, 5]", None),
        ("uid: c", "config-id"),
        ("uid: '100'", "config-id"),
        ("additionalGids: [c]", "config-id"),
    ],
)
@pytest.mark.parametrize("apart", [False, True])
def test_volumes_and_containers_that_are_named(
    tmp_path: Path, fields: str, id: str | None, apart: bool
) -> None:
    """What another file declares counts too, whichever comes first (N6)."""
    text = f"services: [{{name: b, image: b, {fields}}}]\n"
    other = VOLUMES + "onboot: [{name: other, image: b}]\n"
    texts = [text, other, "volumes: [{name: last}]"] if apart else [other + text]
    if id is None:
        merged(tmp_path, *texts)
        return
    with pytest.raises(ConfigError) as caught:
        merged(tmp_path, *texts)
    assert caught.value.id == id
    assert caught.value.hint
    assert "services[0]." in (caught.value.place or "")


def test_files_of_containers() -> None:
    text = "{{files: [{{path: a, contents: b, uid: {}}}], services: [{{name: nginx, image: b}}]}}"
    assert config(text.format("nginx")).files[0].uid == "nginx"
    (error,) = errors(text.format("nignx"))
    assert (error.id, error.hint) == ("config-id", "Did you mean 'nginx'?")


def test_a_mistake_brings_no_complaints_about_what_it_hides() -> None:
    assert [
        error.id
        for error in errors(
            "{volumes: [{nam: a}], services: [{name: a, image: b, binds: ['a:/b']}]}"
        )
    ] == ["config-unknown-key"]


def test_the_excerpt_shows_what_is_meant() -> None:
    (error,) = errors("services:\n  - name: a\n    image: b\n    comand: [x]\n")
    assert (
        str(error) == "unknown key 'comand' (<stdin>:4:5: services[0].comand) [config-unknown-key]"
    )
    assert error.excerpt == "  |\n4 |     comand: [x]\n  |     ^^^^^^"


def test_long_lines_are_cut_around_the_place() -> None:
    (error,) = errors("init: [" + "a, " * 500 + "5, " + "a, " * 500 + "]")
    assert error.excerpt is not None
    _, line, carets = error.excerpt.split("\n")
    assert len(line) < 130
    assert line[carets.index("^")] == "5"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a.yml", "a"),
        ("x/y/a.b.yml", "a.b"),
        ("-", "moby"),
        ("a", "a"),
        ("http://h/x/a.yml?b=c", "a"),
        ("https://h/", "moby"),
        ("x/", "x"),
    ],
)
def test_default_name(source: str, name: str) -> None:
    assert default_name(source) == name


LABELS = [
    ("", Settings()),
    (" \n", Settings()),
    ("# x", Settings()),
    ("{}", Settings()),
    (
        '{"binds": ["vol:/a", "/b:/c"], "readonly": false}',
        Settings(binds=("vol:/a", "/b:/c"), readonly=False),
    ),
    ("binds:\n- /a:/b\nuid: nobody\n", Settings(binds=("/a:/b",), uid="nobody")),
    ("capabilities.add: [CAP_CHOWN]", Settings(capabilities_add=("CAP_CHOWN",))),
]


@pytest.mark.parametrize(("text", "value"), LABELS)
def test_labels(text: str, value: Settings) -> None:
    assert decode_label(text, "img:1") == value


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("null", ["config-type"]),
        ("[a]", ["config-type"]),
        ("a", ["config-type"]),
        ("name: a", ["config-unknown-key"]),
        ("image: a", ["config-unknown-key"]),
        ("bind: []", ["config-unknown-key"]),
        ("binds: [a]\ncapabilities: [x]", ["config-mount", "config-capability"]),
        ("[", ["yaml-syntax"]),
    ],
)
def test_labels_with_mistakes(text: str, ids: list[str]) -> None:
    with pytest.raises(ComposError) as caught:
        decode_label(text, "img:1")
    found = caught.value.errors if isinstance(caught.value, CombinedError) else (caught.value,)
    assert [error.id for error in found] == ids
    assert all(
        (error.place or "").startswith("label org.mobyproject.config of img:1:") for error in found
    )


def test_the_examples_are_valid() -> None:
    examples = sorted((Path(__file__).parents[2] / "examples").glob("*.yml"))
    assert examples
    for path in examples:
        load([str(path)])


WORDS = (
    "services: init: kernel: files: volumes: name: image: mounts: binds: resources: uid: \n \n   - "
    "[ ] { } , : a b & * &a "
    "*a << '<<' ' \" | > ! !! !!str !!int ? % # --- ... ~ 5 0x1F 1e3 .inf true @pkg: \\ \t \r \x85 "
    "ä \x00 /a:/b"
)
PIECES = st.lists(st.sampled_from(WORDS.split(" "))).map("".join)
TEXTS = st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=200), PIECES.map(str.encode), TEXTS))
@settings(max_examples=400, deadline=None)
def test_whatever_comes_in_there_is_never_a_traceback(data: bytes) -> None:
    try:
        load(["-"], stdin=lambda: data)
    except ComposError as error:
        for one in error.errors if isinstance(error, CombinedError) else (error,):
            assert one.place
