"""What UEFI programs are made with: SBAT entries that a build adds, as objcopy and sbverify see
them, and stubs from files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.api.efi_stub import read_stub
from compos.api.keys import new_keys
from compos.boot.sbat import merged_sbat
from compos.errors import OutputError
from compos.image.digest import digest_of
from tests.compose.systems import World
from tests.output.bootable import STUB, filled
from tests.output.test_formats import build, refused

ENTRY = b"acme.system,1,Acme,system,7,https://example.com/system\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return filled(World(tmp_path))


def section(program: Path, name: str) -> bytes:
    out = program.with_suffix(".section")
    line = ["objcopy", "-O", "binary", f"--only-section={name}", str(program), str(out)]
    subprocess.run(line, check=True, capture_output=True)
    return out.read_bytes().rstrip(b"\0")


@pytest.mark.slow
def test_entries_are_added_to_the_stubs(world: World, tmp_path: Path) -> None:
    (tmp_path / "sbat.csv").write_bytes(ENTRY)
    new_keys(tmp_path / "keys")
    options = ("-f", "uki", "--keys", str(tmp_path / "keys"))
    plain = section(build(world, *options) / "os.efi", ".sbat")
    program = build(world, *options, "--sbat", str(tmp_path / "sbat.csv")) / "os.efi"
    assert section(program, ".sbat") == plain + ENTRY
    line = ["objdump", "-h", str(program)]
    shown = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert shown.count(".sbat") == 1
    line = ["sbverify", "--cert", str(tmp_path / "keys/db.crt"), str(program)]
    subprocess.run(line, check=True, capture_output=True)


@pytest.mark.parametrize(
    "more",
    [
        b"acme",
        b"acme,0",
        b"acme,x,Acme",
        b",1",
        b"acme,1,a,b,c,d,e",
        b"acme,1\nacme,2",
        b"sbat,1",
        b"acme,1,\xff",
        b"acme,1\0",
        b"acme,1\n" * 1000,
        b"acme,99999999999",
    ],
)
def test_what_are_no_entries(more: bytes) -> None:
    with pytest.raises(OutputError) as caught:
        merged_sbat(b"sbat,1,SBAT Version\n", more, "file.csv")
    assert caught.value.id == "sbat-invalid"
    assert str(caught.value.place).startswith("file.csv")


def test_quotes_are_characters_like_others() -> None:
    assert merged_sbat(b"sbat,1\n\0\0", b'"acme,1\n', "f") == b'sbat,1\n"acme,1\n'


def test_a_stub_from_a_file(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("-f", "uki", "--efi-stub")
    own = digest_of((build(world, "-f", "uki") / "os.efi").read_bytes())
    assert digest_of((build(world, *options, str(STUB)) / "os.efi").read_bytes()) == own
    changed = tmp_path / "changed.stub"
    changed.write_bytes(STUB.read_bytes().replace(b"systemd-stub", b"systemd-stuc"))
    assert digest_of((build(world, *options, str(changed)) / "os.efi").read_bytes()) != own
    changed.write_text("nonsense")
    for path in (changed, tmp_path / "none"):
        assert "error[uki-stub]" in refused(world, capfd, *options, str(path))
    with pytest.raises(OutputError, match="no UEFI stub for arm64"):
        read_stub(STUB, None, "arm64")
