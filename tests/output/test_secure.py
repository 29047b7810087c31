"""`secure: true`: what a build then requires, and what its outputs lack: nothing in them starts
without a signature."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.api.secure import Finding, findings
from compos.boot.luks_header import openers
from compos.cli.main import main
from compos.errors import OutputError
from compos.output.formats import FORMATS
from compos.run.guests import take_slot
from tests.compose.systems import World
from tests.images import Member, make_image
from tests.output.bootable import YAML, filled
from tests.output.test_formats import build, refused
from tests.output.test_installer import unpacked
from tests.run.records import record

pytestmark = pytest.mark.slow

SECURE = YAML + "secure: true\n"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder)
    return str(folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return filled(World(tmp_path_factory.mktemp("world")))


def test_without_keys_it_says_what_to_do(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    said = refused(world, capfd, "-f", "raw-efi", yaml=SECURE)
    assert "error[secure-keys]" in said
    assert "compos keys new keys" in said
    assert "--keys keys" in said


@pytest.mark.parametrize("form", [one.name for one in FORMATS.values() if not one.streamable])
def test_formats(form: str, keys: str, world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Those in which something starts that nobody signs are refused."""
    if "amd64" not in FORMATS[form].architectures:
        return
    signed = form not in (
        *("kernel+initrd", "kernel+squashfs", "kernel+erofs", "kernel+iso", "tar-kernel-initrd"),
        *("iso-bios", "raw-bios", "qcow2-bios", "firecracker", "oci", "bootc"),
    )
    options = ("-f", form, "--keys", keys, "--size", "64M")
    if not signed:
        assert "error[secure-format]" in refused(world, capfd, *options, yaml=SECURE)
        return
    named = "update: {compatible: gateway, version: 1.0.0}\n" if form == "update" else ""
    (image,) = build(world, *options, yaml=SECURE + named).iterdir()
    if form == "ova":
        with tarfile.open(image) as archive:
            description = archive.extractfile(archive.getmembers()[0])
            assert description is not None
            assert b'firmware" vmw:value="efi"' in description.read()
    elif image.suffix == ".iso":
        line = ["xorriso", "-indev", f"stdio:{image}", "-report_el_torito", "plain"]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        assert "UEFI" in said
        assert "BIOS" not in said


def test_a_disk(keys: str, world: World) -> None:
    """`raw` has no loader for a BIOS, and all that `findings` asks for."""
    disk = build(world, "-f", "raw", "--keys", keys, yaml=SECURE) / "os.img"
    assert not any(disk.read_bytes()[:440])
    done = subprocess.run(["sfdisk", "--json", disk], capture_output=True, text=True, check=True)
    names = [one["name"] for one in json.loads(done.stdout)["partitiontable"]["partitions"]]
    assert names == ["EFI System", "root", "root-verity"]
    assert state(disk) == {"signature": True, "root": True, "policies": True}
    program = build(world, "-f", "uki", "--keys", keys, yaml=SECURE) / "os.efi"
    assert state(program) == {"signature": True, "root": True, "policies": True}


@pytest.fixture(scope="module")
def installer(keys: str, world: World) -> set[str]:
    """Files of the installer's root that its program gives to firmware."""
    made = build(world, "-f", "installer", "--keys", keys, yaml=SECURE) / "os-installer.iso"
    return payload(made, world.folder / "enrols")


def payload(iso: Path, folder: Path) -> set[str]:
    root = unpacked(iso, folder)
    return {path.name for path in (root / "payload").iterdir()}


def test_an_installer_has_keys_for_the_firmware(
    installer: set[str], keys: str, world: World
) -> None:
    """What anybody may have of the set, as it is there, and nothing else."""
    public = {"db.auth", "KEK.auth", "PK.auth"}
    assert installer == {"parts", "data", "db.der", *public}
    found = world.folder / "enrols/root/payload"
    for name in public:
        assert (found / name).read_bytes() == (Path(keys) / name).read_bytes()
    line = ["openssl", "x509", "-inform", "DER", "-in", str(found / "db.der")]
    pem = subprocess.run(line, capture_output=True, check=True).stdout
    assert pem.split() == (Path(keys) / "db.crt").read_bytes().split()
    files = [path for path in (world.folder / "enrols/root").rglob("*") if path.is_file()]
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in files)


def test_an_installer_without_keys(keys: str, world: World, tmp_path: Path) -> None:
    """Not wanted; or not there, on a machine that only signs."""
    yaml = SECURE + "install: {enrol: false}\n"
    made = build(world, "-f", "installer", "--keys", keys, yaml=yaml) / "os-installer.iso"
    assert payload(made, tmp_path / "unwanted") == {"parts", "data"}
    signer = copied(keys, tmp_path)
    for name in ("db.auth", "KEK.auth", "PK.auth"):
        (signer / name).unlink()
    made = build(world, "-f", "installer", "--keys", str(signer), yaml=SECURE) / "os-installer.iso"
    assert payload(made, tmp_path / "without") == {"parts", "data", "db.der"}


def copied(keys: str, folder: Path) -> Path:
    shutil.copytree(keys, folder / "keys")
    return folder / "keys"


@pytest.mark.parametrize("name", ["db.auth", "KEK.auth", "PK.auth"])
def test_updates_that_no_installer_gets(
    name: str, keys: str, world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = copied(keys, tmp_path)
    whole = (folder / name).read_bytes()
    options = ("-f", "installer", "--keys", str(folder))
    for data in (b"", whole[:30], whole[:500], whole[:-1], bytes(2000)):
        (folder / name).write_bytes(data)
        said = refused(world, capfd, *options, yaml=SECURE)
        assert "error[keys-update]" in said
        assert name in said
    (folder / name).unlink()
    assert "error[keys-missing]" in refused(world, capfd, *options, yaml=SECURE)


def test_an_update_for_another_certificate(
    keys: str, world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Firmware with it would not start what is installed."""
    folder = copied(keys, tmp_path)
    new_keys(tmp_path / "other")
    shutil.copy(tmp_path / "other/db.auth", folder)
    said = refused(world, capfd, "-f", "installer", "--keys", str(folder), yaml=SECURE)
    assert "error[keys-update]" in said
    assert "does not have the certificate in db.crt" in said


def state(file: Path) -> dict[str, bool]:
    return {one.name: one.on for one in findings(file)}


def test_what_a_plain_system_lacks(world: World) -> None:
    disk = build(world, "-f", "raw-efi", "--root", "erofs") / "os-efi.img"
    assert state(disk) == {"signature": False, "root": False, "policies": False}
    told = {one.name: one for one in findings(disk)}
    assert told["signature"] == Finding(
        "signature", on=False, text="the program is not signed: build with --keys"
    )
    (world.folder / "nonsense").write_text("nonsense")
    with pytest.raises(OutputError) as caught:
        findings(world.folder / "nonsense")
    assert caught.value.id == "measure-image"


TPM_TOKEN = {
    "type": "systemd-tpm2", "keyslots": ["0"], "tpm2-pcrs": [7, 12], "tpm2_pubkey_pcrs": [11],
    "tpm2-pin": True,
}  # fmt: skip


def volume(folder: Path, *tokens: dict[str, object]) -> bytes:
    """A volume of cryptsetup's, with tokens, which it would have systemd look into."""
    path, key = folder / "volume", folder / "key"
    path.write_bytes(bytes(20 << 20))
    key.write_bytes(b"a secret")
    quick = ("--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
    subprocess.run(["cryptsetup", "-q", "luksFormat", *quick, path, key], check=True)
    for token in tokens:
        line = ["cryptsetup", "token", "import", "--disable-external-tokens", str(path)]
        subprocess.run(line, input=json.dumps(token), text=True, check=True)
    return path.read_bytes()


def test_the_disk_of_a_machine(
    keys: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a first boot has encrypted is named, and by what it is opened."""
    disk = build(world, "-f", "raw-efi", "--keys", keys, yaml=SECURE) / "os-efi.img"
    contents = volume(tmp_path, TPM_TOKEN, {"type": "systemd-recovery", "keyslots": ["0"]})
    with disk.open("r+b") as stream:
        stream.truncate(disk.stat().st_size + (30 << 20))
    line = ["sfdisk", "-q", "--append", str(disk)]
    subprocess.run(line, input="size=20MiB, name=data\n", text=True, check=True)
    found = json.loads(
        subprocess.run(["sfdisk", "-J", disk], capture_output=True, check=True).stdout
    )
    (data,) = (one for one in found["partitiontable"]["partitions"] if one.get("name") == "data")
    with disk.open("r+b") as stream:
        stream.seek(data["start"] * 512)
        stream.write(contents)
    assert main(["doctor", "--secure", str(disk)]) == 0
    said = capsys.readouterr().out
    assert (
        "partition data      encrypted; it is opened by the TPM 2.0 (PCR 7, 12 by value, "
        "PCR 11 by signature, with a PIN) or a recovery key\n" in said
    )
    assert main(["doctor", "--secure", str(disk), "--json"]) == 0
    names = [one["name"] for one in json.loads(capsys.readouterr().out)]
    assert names == ["signature", "root", "policies", "partition data"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["a recovery key"]),
        ({0: b"SKUL"}, None),
        ({7: b"\1"}, None),  # LUKS1
        ({8: b"\xff" * 8}, []),
        ({8: bytes(8)}, []),
        ({4096: b"}"}, []),
        ({4096: b"[" * 100000}, []),
        ({4096: b'{"tokens": 1}\0'}, []),
        ({4096: b'{"tokens": {"0": [], "1": {"type": 1}, "2": {"type": "x"}}}\0'}, []),
        ({4096: b'{"tokens": {"0": {"type": "compos-tpm12"}}}\0'}, ["the TPM 1.2"]),
        (
            {4096: b'{"tokens": {"0": {"type": "systemd-tpm2", "tpm2-pcrs": [true, -1, "7"]}}}\0'},
            ["the TPM 2.0 (whatever it has started)"],
        ),
    ],
)
def test_headers(changes: dict[int, bytes], expected: list[str] | None, tmp_path: Path) -> None:
    data = bytearray(volume(tmp_path, {"type": "systemd-recovery", "keyslots": ["0"]}))
    for at, changed in changes.items():
        data[at : at + len(changed)] = changed
    assert openers(lambda offset, length: bytes(data[offset : offset + length])) == expected


def test_a_guest(
    keys: str, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What its firmware starts, and what it was started from."""
    disk = build(world, "-f", "raw-efi", "--keys", keys, yaml=SECURE) / "os-efi.img"
    monkeypatch.setenv("COMPOS_RUNTIME", str(tmp_path / "guests"))
    slot = take_slot("box", "box")
    base = record("box")
    slot.write(replace(base, system=str(disk), secure_boot=True, tpm=True))
    assert main(["doctor", "--secure", "box"]) == 0
    said = capsys.readouterr().out
    assert [line.split("  ")[1].strip() for line in said.splitlines()] == [
        "secure boot", "tpm", "signature", "root", "policies",
    ]  # fmt: skip
    slot.write(base)
    assert main(["doctor", "--secure", "box"]) == 1
    said = capsys.readouterr().out
    assert said.count("!!") == 3
    assert "--secure-boot KEYS" in said
    slot.give_up()
    assert main(["doctor", "--secure", "box"]) == 1
    assert "error[guest-unknown]" in capsys.readouterr().err


def test_roots(keys: str, world: World, capfd: pytest.CaptureFixture[str]) -> None:
    for root in ("erofs", "erofs-zstd", "squashfs", "ext4"):
        options = ("-f", "raw-efi", "--keys", keys, "--root", root)
        assert "error[secure-root]" in refused(world, capfd, *options, yaml=SECURE)
    for root in ("initrd", "squashfs-verity"):
        build(world, "-f", "raw-efi", "--keys", keys, "--root", root, yaml=SECURE)


def test_confinement(keys: str, world: World, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("-f", "raw-efi", "--keys", keys)
    yaml = f"{SECURE}confinement: linuxkit\n"
    assert "error[secure-confinement]" in refused(world, capfd, *options, yaml=yaml)
    labels = {"Labels": {"org.mobyproject.config": '{"capabilities": ["all"]}'}}
    make_image(world.store, "acme/grants:1", [[Member("bin/app", content="x")]], labels)
    granting = SECURE.replace("acme/app:1", "acme/grants:1")
    assert "acme/grants:1" in refused(world, capfd, *options, yaml=granting)
    build(world, *options, yaml=granting.replace("secure: true", ""))
