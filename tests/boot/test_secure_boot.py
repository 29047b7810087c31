"""Systems that are signed, on firmware that checks them: keys enrolled by a guest in setup mode, and
by us in the variables of a virtual machine; the signed system starts, any other one does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.cli.main import main
from compos.image.digest import digest_of
from compos.run.firmware import SECURE, SHARE
from tests.boot.conftest import ROOT
from tests.guest import Guest

pytestmark = pytest.mark.xdist_group("boot-disks")

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
IMAGE_SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
UPDATES = (("db", IMAGE_SECURITY), ("KEK", GLOBAL), ("PK", GLOBAL))

SCRIPT = (
    f"""
cd /sys/firmware/efi/efivars
is() {{ tail -c 1 "$1-{GLOBAL}" | od -An -tu1 | tr -d ' '; }}
echo "setup mode $(is SetupMode), secure boot $(is SecureBoot)"
if [ "$(is SetupMode)" = 1 ]; then
"""
    + "\n".join(
        # efivarfs: the attributes stand in front of the contents, all in one write.
        f'  {{ printf "\\047\\0\\0\\0"; cat /keys/{name}.auth; }} > /tmp/{name} && '
        f"dd if=/tmp/{name} of={name}-{vendor} bs=64k 2>/dev/null && echo enrolled {name}"
        for name, vendor in UPDATES
    )
    + """
fi
"""
)


def system(keys: Path) -> str:
    """It enrols the keys when it can, says what the firmware does, and starts again or ends."""
    files = "".join(
        f"  - {{path: keys/{name}.auth, source: {keys / f'{name}.auth'}}}\n" for name, _ in UPDATES
    )
    script = "\n".join(f"      {line}" for line in SCRIPT.splitlines())
    return f"""
kernel: {{image: compos/kernel:v1, cmdline: "console=ttyS0 quiet", modules: auto}}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: enrol
    image: compos/busybox:v1
    tmpfs: [/tmp]
    binds: [/keys:/keys, /sys/firmware/efi/efivars:/sys/firmware/efi/efivars]
    capabilities: [all]
    command:
    - /bin/sh
    - -c
    - |
{script}
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
files:
{files}"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "keys"
    new_keys(folder)
    return folder


@pytest.fixture(scope="module")
def signed(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk of a signed system."""
    folder = tmp_path_factory.mktemp("signed")
    (folder / "signed.yml").write_text(system(keys))
    options = ["-f", "raw-efi,uki", "--keys", str(keys), "--dir", str(folder)]
    assert main(["build", *options, str(folder / "signed.yml")]) == 0
    line = ["sbverify", "--cert", str(keys / "db.crt"), str(folder / "signed.efi")]
    subprocess.run(line, check=True, capture_output=True)
    return folder / "signed-efi.img"


@pytest.mark.wide
def test_keys_are_enrolled_in_setup_mode(keys: Path, signed: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    template = next(vars for _, vars in SECURE["x86_64"] if (SHARE / vars).is_file())
    shutil.copy(SHARE / template, state / "efi-vars-secure.fd")
    options = ("--secure-boot", str(keys), "--state", str(state))
    with Guest(signed, *options, log=tmp_path / "console") as guest:
        guest.expect("setup mode 1, secure boot 0", 180)
        for name, _ in UPDATES:
            guest.expect(f"enrolled {name}")
        guest.prompt()
        guest.type("reboot\n")
        guest.expect("setup mode 0, secure boot 1", 180)
    # The same machine now refuses a program of which a bit has changed.
    disk = bytearray(signed.read_bytes())
    disk[disk.index(b"console=ttyS0 quiet") + 3] ^= 1
    changed = tmp_path / "changed-efi.img"
    changed.write_bytes(disk)
    with Guest(changed, *options, log=tmp_path / "refused") as guest:
        guest.expect("Access Denied", 60)


def test_a_machine_that_has_the_keys(keys: Path, signed: Path, tmp_path: Path) -> None:
    options = ("--secure-boot", str(keys), "--state", str(tmp_path / "state"))
    with Guest(signed, *options, log=tmp_path / "console") as guest:
        guest.expect("setup mode 0, secure boot 1", 180)
        guest.prompt()
        # Nothing in the system may change what the firmware believes.
        name = f"/sys/firmware/efi/efivars/db-{IMAGE_SECURITY}"
        guest.run(f"chattr -i {name}; dd if=/dev/zero of={name} bs=64 count=1; echo $?")
        assert guest.power_off() == 0


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    """docs/secure-boot.md, in its order; its virtual machine is the one above."""
    commands = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/secure-boot.md").read_text(), re.DOTALL)
    assert len(commands) == 5
    environment = {**os.environ, **token(tmp_path), "PYTHONPATH": str(ROOT / "src")}
    (tmp_path / "os.yml").write_text(
        "kernel: {image: compos/kernel:v1, cmdline: console=ttyS0, modules: auto}\n"
        "init: [compos/init:v1, compos/busybox:v1]\n"
    )

    def sh(line: str) -> None:
        subprocess.run(["sh", "-ec", line], cwd=tmp_path, env=environment, check=True)

    new, sign, elsewhere, later, boot = (
        re.sub(r"^( *)compos ", rf"\1{sys.executable} -m compos ", command, flags=re.MULTILINE)
        for command in commands
    )
    sh(new)
    sh(sign)
    disk = (tmp_path / "os-efi.img").read_bytes()
    sh("mkdir certificates && cp keys/db.crt keys/pcr.pub certificates/ && rm os-efi.img")
    sh(later)
    assert digest_of((tmp_path / "os-efi.img").read_bytes()) == digest_of(disk)
    # The private keys move into the token.
    for number, role in enumerate(("db", "pcr"), 1):
        sh(
            f"openssl pkey -in keys/{role}.key -outform DER -out key.der && rm keys/{role}.key && "
            'pkcs11-tool --module "$MODULE" --login --pin env:PIN --write-object key.der '
            f"--type privkey --id 0{number} --label {role} --usage-sign"
        )
    sh("rm os-efi.img")
    sh(elsewhere)
    assert digest_of((tmp_path / "os-efi.img").read_bytes()) == digest_of(disk)
    assert "--secure-boot keys os-efi.img" in boot


def token(folder: Path) -> dict[str, str]:
    """A new token of SoftHSM's, by the variables that lead to it."""
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    variables = {
        "SOFTHSM2_CONF": str(configuration),
        "MODULE": "/usr/lib/softhsm/libsofthsm2.so",
        "PIN": "123456",
    }
    line = ["softhsm2-util", "--init-token", "--free", "--label", "test"]
    line += ["--so-pin", "1234", "--pin", variables["PIN"]]
    subprocess.run(line, env={**os.environ, **variables}, check=True, capture_output=True)
    return variables


def test_keys_of_a_stranger(signed: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "keys"
    new_keys(stranger)
    options = ("--secure-boot", str(stranger), "--state", str(tmp_path / "state"))
    with Guest(signed, *options, log=tmp_path / "console") as guest:
        guest.expect("Access Denied", 60)
