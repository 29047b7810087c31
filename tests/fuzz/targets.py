"""What is fuzzed, with valid inputs to start from: tar, YAML, labels, image documents, archives,
SBOMs, kernels, ELF."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

from compos.errors import ComposError
from tests.fuzz import images, insight, packages, records
from tests.fuzz.engine import Target

__all__ = ["TARGETS"]

ROOT = Path(__file__).parents[2]


def _tars() -> list[bytes]:
    made = []
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        for names in (
            ("a", "b/c"),
            ("n" * 90 + "/" + "m" * 60, "ü/x"),
            (".wh.a", "d/.wh..wh..opq", "../x", "/abs", "."),
        ):
            buffer = io.BytesIO()
            with tarfile.open(
                fileobj=buffer, mode="w", format=form, errors="surrogateescape"
            ) as archive:
                for number, name in enumerate(names):
                    info = tarfile.TarInfo(name)
                    info.size, info.mtime, info.uid = (
                        700 * number,
                        1.5 if form == tarfile.PAX_FORMAT else 1,
                        70000,
                    )
                    if form == tarfile.PAX_FORMAT:
                        info.pax_headers = {"SCHILY.xattr.user.x": "v", "comment": "c"}
                    archive.addfile(info, io.BytesIO(bytes(info.size)))
                for kind, link in (
                    (tarfile.SYMTYPE, "../../x"),
                    (tarfile.LNKTYPE, names[0][:90]),
                    (tarfile.DIRTYPE, ""),
                    (tarfile.CHRTYPE, ""),
                ):
                    info = tarfile.TarInfo(f"k{kind.decode()}")
                    info.type, info.linkname, info.devmajor = kind, link, 1
                    archive.addfile(info)
            made.append(buffer.getvalue())
    return [*made, _sparse()]


def _sparse() -> bytes:
    """PAX sparse formats 0.1 and 1.0, as GNU tar writes them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for records, data in (
            (
                {
                    "GNU.sparse.map": "0,5,1000,5",
                    "GNU.sparse.size": "2000",
                    "GNU.sparse.name": "s1",
                    "GNU.sparse.numblocks": "2",
                },
                b"x" * 10,
            ),
            (
                {
                    "GNU.sparse.major": "1",
                    "GNU.sparse.minor": "0",
                    "GNU.sparse.realsize": "2000",
                    "GNU.sparse.name": "s2",
                },
                b"2\n0\n5\n1000\n5\n".ljust(512, b"\0") + b"x" * 10,
            ),
        ):
            info = tarfile.TarInfo("GNUSparseFile.1/x")
            info.pax_headers, info.size = dict(records), len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _run_tar(data: bytes) -> None:
    from compos.image.model import LAYER_GZIP, LAYER_TAR, Image, ImageConfig
    from compos.image.store import Store
    from compos.tree.contents import Contents
    from compos.tree.flatten import image_tree
    from compos.tree.gate import require_path

    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        store = Store(folder / "store")
        first = store.put(gzip.compress(data[: len(data) // 2], 1), LAYER_GZIP)
        layers = (
            (first, store.put(data, LAYER_TAR)) if len(data) % 2 else (store.put(data, LAYER_TAR),)
        )
        with suppress(ComposError):
            tree = image_tree(
                store, Image("x", "sha256:" + "0" * 64, ImageConfig("amd64", "linux"), layers, "")
            )
            for path, node in tree.items():
                if path.startswith("/") or ".." in path.split("/"):
                    raise AssertionError(f"a path that leaves: {path!r}")
                require_path(path)
                if node.kind == "f" and node.size < 1 << 20:
                    with Contents(store.root) as contents, suppress(ComposError):
                        if sum(map(len, contents.chunks(node.content))) != node.size:
                            raise AssertionError("content of another size")
        if sorted(path.name for path in folder.iterdir()) != ["store"]:
            raise AssertionError("something was written outside")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mended(data: bytes) -> bytes:
    """`data` with right checksums in what seem to be headers: the reader looks at nothing else of
    them before."""
    mended = bytearray(data)
    for at in range(0, len(mended) - 511, 512):
        if mended[at + 257 : at + 262] == b"ustar":
            mended[at + 148 : at + 156] = b" " * 8
            mended[at + 148 : at + 156] = b"%06o\0 " % sum(mended[at : at + 512])
    return bytes(mended)


def _run_formats(data: bytes) -> None:
    """A layer, through every writer, read back where that takes no mount; programs look at one
    image in eight."""
    from compos.compose.component import Component, union
    from compos.image.model import LAYER_TAR, Image, ImageConfig
    from compos.image.store import Store
    from compos.tree.flatten import image_tree
    from tests.filesystem.formats import FORMATS, differences

    data = _mended(data)
    programs = {
        "erofs": ["fsck.erofs"],
        "squashfs": ["unsquashfs", "-ll"],
        "ext4": ["e2fsck", "-fn"],
    }
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        store = Store(folder / "store")
        layers = (store.put(data, LAYER_TAR),)
        with suppress(ComposError):
            tree = image_tree(
                store, Image("x", "sha256:" + "0" * 64, ImageConfig("amd64", "linux"), layers, "")
            )
            entries = [
                (path, node) for path, node, _ in union([Component("init[0]", "x", {**tree})]).nodes
            ]
            # fsck.erofs reads every hole.
            small = sum(node.size for _, node in entries) < 64 << 20
            for form in FORMATS:
                image = folder / form.name
                with suppress(ComposError):
                    form.write(entries, image, store.root)
                    if (
                        form.name in ("initramfs", "tar headers")
                        and image.stat().st_size < 64 << 20
                    ):
                        if wrong := differences(
                            form, entries, form.read(image, folder / "out"), store.root
                        ):
                            raise AssertionError(wrong)
                    elif form.name in programs and not zlib.crc32(data) % 8 and small:
                        done = subprocess.run(
                            [*programs[form.name], image], capture_output=True, check=False
                        )
                        if done.returncode:
                            raise AssertionError(f"{form.name}: {done.stdout + done.stderr!r}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _yamls() -> list[bytes]:
    found = [path.read_bytes() for path in sorted((ROOT / "examples").glob("*.yml"))]
    found.append(
        b"variables: {A: b}\ninclude: [x.yml]\nx: &a [1, 0x1F, ~, yes, 1.5, .inf, 2001-01-01]\ny: *a\nz: {<<: {a: b}, c: !!str d}\n"
        b"arch: {arm64: {init: ['${A:-x}', \"${B:?no}\", '$${C}']}}\nfiles: [{path: a, contents: |\n  b\n, mode: '0644'}]\n"
    )
    found.append(
        b"services:\n- name: a\n  image: b\n  capabilities.add: [CAP_KILL]\n  mounts: [{type: bind, source: /a, destination: /b}]\n"
        b"  resources: {memory: {limit: 5}, cpu: {shares: 1}}\n  rlimits: ['core,1,2']\n  devices: [{path: all, type: c}]\n"
        b"  runtime: {bindNS: {net: /x}, interfaces: [{name: e}]}\n  uid: a\n"
    )
    return found


WORDS = (
    b"&a ", b"*a", b"<<: ", b"!!int ", b"!!binary ", b"- ", b": ", b"{", b"}", b"[", b"]", b"|\n", b">-\n", b"? ", b"---\n", b"...\n", b"%TAG ! x\n", b"\t",
    b"\xef\xbb\xbf", b"\xff", b"\x00", b"\xc2\x85", b"\xe2\x80\xa8", b"'", b'"', b"\\ud800", b"#", b"${", b"${A:-", b"}", b"null", b"services:\n", b"name: ", b"image: ",
    b"include: [-]\n", b"0o", b"1e999", b"@pkg:x", b"kernel: ", b"files: ", b"mode: '0", b"binds: [", b":::", b"~",
)  # fmt: skip


def _run_yaml(data: bytes) -> None:
    from compos.config.dump import metadata_document, resolved_json, resolved_yaml, to_yaml
    from compos.config.load import load
    from compos.config.variables import Variable

    try:
        config = load(
            ["-"], architecture="arm64", variables={"A": Variable("1", "--set")}, stdin=lambda: data
        )
    except ComposError as error:
        for one in getattr(error, "errors", (error,)):
            if not one.place or "\n" in one.message:
                raise AssertionError(f"an error without a place: {one!r}") from None
        return
    for text in (resolved_yaml(config, with_origins=True), resolved_json(config)):
        if load(["-"], stdin=text.encode) != config:
            raise AssertionError(f"what is printed means something else: {text}")
    to_yaml(config)
    metadata_document(config, "json")


def _run_label(data: bytes) -> None:
    from compos.config.load import decode_label

    with suppress(ComposError):
        decode_label(data.decode("utf-8", "replace"), "image")


def _documents() -> list[bytes]:
    digest = "sha256:" + "ab" * 32
    blob = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": digest,
        "size": 5,
        "annotations": {"a": "b"},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob,
        "layers": [blob, blob],
    }
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                **blob,
                "mediaType": manifest["mediaType"],
                "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"},
            }
        ],
    }
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Cmd": ["a"], "Env": ["A=b"], "Labels": {"a": "b"}, "WorkingDir": "/"},
        "rootfs": {"diff_ids": [digest]},
    }
    return [json.dumps(one).encode() for one in (manifest, index, config)]


def _run_document(data: bytes) -> None:
    from compos.image.model import ImageConfig, ImageIndex, parse_document
    from compos.image.platform import Platform
    from compos.image.selection import select_in

    for read in (parse_document, ImageConfig.from_bytes):
        with suppress(ComposError):
            found = read(data)
            if isinstance(found, tuple) and isinstance(found[1], ImageIndex):
                select_in("x", found[1], Platform("linux", "arm64"), _Itself(data))


class _Itself:
    """Whatever a document names is that document again."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def document(self, blob: object) -> bytes:
        return self._data

    config = document


def _run_archive(data: bytes) -> None:
    from compos.image.archives.archive import opened
    from compos.image.archives.import_archive import import_archive
    from compos.image.names import Origin
    from compos.image.platform import Platform
    from compos.image.source import Images
    from compos.image.store import Store

    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        (folder / "x.tar").write_bytes(data)
        store = Store(folder / "store")
        for scheme in ("oci-archive", "docker-archive"):
            with suppress(ComposError):
                Images(store).image(f"{scheme}:{folder}/x.tar", Platform("linux", "amd64"))
        with suppress(ComposError), opened(folder / "x.tar") as archive:
            import_archive(store, archive, Origin("archive"))
        if sorted(path.name for path in folder.iterdir()) not in (["store", "x.tar"], ["x.tar"]):
            raise AssertionError("something was written outside")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _archives() -> list[bytes]:
    from compos.image.door import stored_image
    from compos.image.reference import Reference
    from compos.image.store import Store
    from compos.output.export import export_pieces
    from compos.tree.contents import Contents
    from tests.images import AMD64, Member, make_image

    made = []
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name))
        make_image(
            store,
            "a.example/team/app:1",
            [[Member("a", content="x")], [Member("b", content="y")]],
            {"Cmd": ["/a"]},
        )
        canonical = str(Reference.parse("a.example/team/app:1"))
        root = store.resolve(canonical)
        assert root is not None
        image = stored_image(store, canonical, root, AMD64)
        for form in ("oci", "docker"):
            with Contents(store.root) as contents:
                made.append(
                    b"".join(contents.chunks(export_pieces(store, image, AMD64, form, canonical)))
                )
    return made


def _run_kernel(data: bytes) -> None:
    from compos.compose.kernel_image import KernelImageError, plain_kernel

    with suppress(KernelImageError):
        plain_kernel(data)


def _kernels() -> list[bytes]:
    import lzma
    import struct

    plain = b"\x7fELF" + b"abcdefgh" * 500 + bytes(1000)
    packed = [gzip.compress(plain), lzma.compress(plain), lzma.compress(plain, lzma.FORMAT_ALONE)]
    tools = (["lz4", "-l", "-c"], ["lzop", "-c"], ["zstd", "-q", "-c"], ["bzip2", "-c"])
    packed += [
        subprocess.run(tool, input=plain, capture_output=True, check=True).stdout for tool in tools
    ]
    made = []
    for payload in packed:
        header = bytearray(1024)
        header[0x1F1], header[0x1FE:0x200], header[0x202:0x206] = 1, b"\x55\xaa", b"HdrS"
        struct.pack_into("<H", header, 0x206, 0x20F)
        struct.pack_into("<II", header, 0x248, 0, len(payload))
        made += [payload, bytes(header) + payload]
    return made


def _run_elf(data: bytes) -> None:
    from compos.compose.elf import ElfError, read_elf, section

    with suppress(ElfError):
        read_elf(data)
    with suppress(ElfError):
        section(data, ".modinfo")


def _run_sbom(data: bytes) -> None:
    from compos.compose.sbom import SbomOptions, sbom_component
    from compos.image.attestation import put_attestation
    from compos.image.digest import Digest
    from compos.image.model import MANIFEST, Descriptor, Image, ImageConfig
    from compos.image.platform import Platform
    from compos.image.store import Store

    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict):
        return
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        store = Store(folder)
        digest = Digest("sha256:" + "cd" * 32)
        made = put_attestation(
            store, "x", Descriptor(MANIFEST, digest, 1), Platform("linux", "amd64"), document
        )
        image = Image("x.example/a:1", digest, ImageConfig("amd64", "linux"), (), digest, (made,))
        for form in ("spdx", "cyclonedx"):
            with suppress(ComposError):
                sbom_component(store, [(image, "p")], SbomOptions(format=form))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sboms() -> list[bytes]:
    package = {"SPDXID": "SPDXRef-a", "name": "a", "versionInfo": "1", "downloadLocation": "NOASSERTION", "licenseConcluded": "MIT AND LicenseRef-x",
               "checksums": [{"algorithm": "SHA256", "checksumValue": "ab" * 32}],
               "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": "pkg:deb/debian/a@1"}]}  # fmt: skip
    document = {
        "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "n", "dataLicense": "CC0-1.0", "documentNamespace": "https://x.example/1",
        "creationInfo": {"created": "2020-01-01T00:00:00Z", "creators": ["Tool: t"]}, "packages": [package, {**package, "SPDXID": "SPDXRef-b"}],
        "files": [{"SPDXID": "SPDXRef-f", "fileName": "./x", "checksums": [{"algorithm": "SHA1", "checksumValue": "ab" * 20}]}],
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-a"}],
        "hasExtractedLicensingInfos": [{"licenseId": "LicenseRef-x", "extractedText": "t"}], "documentDescribes": ["SPDXRef-b"],
    }  # fmt: skip
    return [json.dumps(document).encode()]


def _json_words() -> tuple[bytes, ...]:
    return (
        b"null",
        b"true",
        b"[]",
        b"{}",
        b"-1",
        b"1e999",
        b'""',
        b'"\\ud800"',
        b"[[[[",
        b'"SPDXRef-DOCUMENT"',
        b'"digest": 5,',
        b'"layers": {}',
        b"0.5",
    )


TARGETS = {
    target.name: target
    for target in (
        Target(
            "tar",
            _run_tar,
            _tars(),
            (
                b"GNU.sparse.map",
                b"20 path=../../x\n",
                b"13 size=1e9\n",
                b"ustar\x0000",
                b"L",
                b"x",
                b"S",
            ),
        ),
        Target(
            "formats",
            _run_formats,
            _tars(),
            (
                b"SCHILY.xattr.user.y",
                b"30 SCHILY.xattr.trusted.x=yyyy\n",
                b"TRAILER!!!",
                b"lost+found",
                b"1",
                b"2",
                b"3",
                b"5",
            ),
        ),
        Target("yaml", _run_yaml, _yamls(), WORDS),
        Target(
            "label",
            _run_label,
            [b'{"command": ["/a"], "binds": ["/a:/b"], "uid": 5}', *_yamls()[-1:]],
            WORDS,
        ),
        Target("documents", _run_document, _documents(), _json_words()),
        Target("archive", _run_archive, _archives(), _json_words()),
        Target("kernel", _run_kernel, _kernels()),
        Target(
            "elf",
            _run_elf,
            [Path("/bin/true").read_bytes()[:40_000], Path("/bin/true").read_bytes()],
        ),
        Target("sbom", _run_sbom, _sboms(), _json_words()),
        *images.TARGETS,
        *insight.TARGETS,
        *packages.TARGETS,
        *records.TARGETS,
    )
}
