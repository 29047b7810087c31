"""Volumes without cryptsetup: what cryptsetup has made is opened, what is made cryptsetup opens, by
the TPM and by the recovery key; damaged headers are no way in."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import XTS

from compos.api.keys import exchange_pcr_key, new_keys
from compos.boot.pcr_policy import policy_digest
from tests.bricks.data_partition import OTHERS, SEAL, Driver
from tests.bricks.test_tpm20 import serve, tool

MIB = 1 << 20
SIZE = 24 * MIB
DRIVER = Driver(
    "luks",
    (
        *(
            f"data-partition/src/luks/{part}"
            for part in ("edit", "header", "sealed_root", "slot", "stripes", "xts")
        ),
        *(f"data-partition/src/seal/{part}" for part in (*SEAL, "platform")),
        *(*OTHERS, "disk/src/disk/report", "init/src/base/mapper", "init/src/base/variables"),
    ),
)
ask, told, refusal = DRIVER.ask, DRIVER.told, DRIVER.refusal
FORMAT = ("--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
OPENED = ("--cipher", "aes-xts-plain64", "--key-size", "512", "--hash", "sha256")

pytestmark = pytest.mark.slow


def cryptsetup(*arguments: str | Path, secret: str = "") -> str:
    command = ["cryptsetup", "--batch-mode", *map(str, arguments)]
    done = subprocess.run(
        command, input=secret, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def opens(volume: Path, secret: str) -> bool:
    command = ["cryptsetup", "open", "--test-passphrase", "--key-file", "-", str(volume)]
    return subprocess.run(command, input=secret.encode(), check=False).returncode == 0


def volume_key(volume: Path, secret: str) -> str:
    text = cryptsetup("luksDump", "--dump-volume-key", "--key-file", "-", volume, secret=secret)
    found = re.search(r"MK dump:\s+((?:[0-9a-f]{2}\s+)+)", text)
    assert found, text
    return "".join(found[1].split())


def blank(path: Path) -> Path:
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    return path


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "tpm").mkdir()
    yield from serve(tmp_path / "tpm")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """cryptsetup's."""
    volume = blank(tmp_path / "volume")
    cryptsetup("luksFormat", *FORMAT, *OPENED, "--key-file", "-", volume, secret="a secret")
    return volume


@pytest.mark.parametrize("count", [1, 2, 7])
def test_sectors(count: int) -> None:
    key, plain = os.urandom(64), os.urandom(512 * count)
    expected = b""
    for sector in range(count):
        encryptor = Cipher(AES(key), XTS(sector.to_bytes(16, "little"))).encryptor()
        expected += encryptor.update(plain[512 * sector : 512 * sector + 512])
    assert told("sectors", key.hex(), plain.hex()) == [expected.hex(), plain.hex()]


def test_what_cryptsetup_has_made(made: Path) -> None:
    assert told("open", made, "0", "a secret") == [volume_key(made, "a secret")]
    assert refusal("open", made, "0", "another") == "the key does not open it"


def test_a_volume_inside_a_disk(made: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(3 * MIB) + made.read_bytes())
    assert told("open", disk, str(3 * MIB), "a secret") == [volume_key(made, "a secret")]


@pytest.mark.parametrize(
    "options",
    [
        ("--type", "luks2", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4"),
        (*FORMAT, "--cipher", "aes-xts-plain64", "--key-size", "256"),
        (*FORMAT, "--hash", "sha512", "--cipher", "aes-xts-plain64", "--key-size", "512"),
    ],
    ids=["argon2", "short", "sha512"],
)
def test_other_kinds_are_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    volume = blank(tmp_path / "volume")
    if "argon2id" in options:
        options = (*options, "--pbkdf-memory", "64")
    cryptsetup("luksFormat", *options, "--key-file", "-", volume, secret="a secret")
    assert "a kind that this system does not open" in refusal("open", volume, "0", "a secret")


def test_either_copy_of_the_header_will_do(made: Path) -> None:
    key = volume_key(made, "a secret")
    whole = made.read_bytes()
    for at in (0, 100, 5000):
        made.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        assert told("open", made, "0", "a secret") == [key]
    for at in (0x4000, 0x5000):
        made.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        assert told("open", made, "0", "a secret") == [key]
    made.write_bytes(bytes(0x8000) + whole[0x8000:])
    assert refusal("open", made, "0", "a secret") == "it has no whole LUKS2 header"


def checked(copy: bytearray) -> bytes:
    """A copy of a header with the checksum that it should have."""
    copy[448:512] = bytes(64)
    copy[448:480] = hashlib.sha256(copy).digest()
    return bytes(copy)


def test_hostile_headers(made: Path) -> None:
    """Whatever they say, with a right checksum: a refusal or the key, no crash."""
    whole = made.read_bytes()
    copy = whole[:0x4000]
    text = copy[4096:].rstrip(b"\0")
    generator = random.Random(1)
    results = set()
    for _ in range(150):
        changed = bytearray(copy)
        for _ in range(generator.choice((1, 1, 2, 20))):
            at = 4096 + generator.randrange(len(text))
            changed[at] = generator.choice(b'0123456789"{}[],:\\a\xff\0')
        made.write_bytes(checked(changed) + bytes(0x4000) + whole[0x8000:])
        done = ask("open", made, "0", "a secret")
        assert done.returncode in (0, 1), done.stderr
        results.add(done.returncode)
    assert results == {0, 1}


@pytest.mark.parametrize(
    "change",
    [
        (b'"stripes":4000', b'"stripes":9999'),
        (b'"offset":"32768"', b'"offset":"99999"'),
        (b'"offset":"32768"', b'"offset":"00000"'),
        (b'"iterations":1000', b'"iterations":0000'),
    ],
)
def test_hostile_numbers(change: tuple[bytes, bytes], made: Path) -> None:
    whole = made.read_bytes()
    assert change[0] in whole[:0x4000]
    copy = bytearray(whole[:0x4000].replace(*change))
    made.write_bytes(checked(copy) + bytes(0x4000) + whole[0x8000:])
    refusal("open", made, "0", "a secret")


def new_volume(tmp_path: Path, tpm: Path, recovery: str = "yes") -> tuple[Path, Path, list[str]]:
    new_keys(tmp_path / "keys")
    volume = blank(tmp_path / "sealed")
    key = tmp_path / "keys" / "pcr.pub"
    return volume, key, told("make", volume, "-", tpm, key, recovery)


def metadata(volume: Path) -> Any:
    return json.loads(cryptsetup("luksDump", "--dump-json-metadata", volume))


def test_cryptsetup_opens_what_is_made(tmp_path: Path, tpm: Path) -> None:
    volume, _, (passphrase, recovery, key) = new_volume(tmp_path, tpm)
    for secret in (passphrase, recovery):
        assert opens(volume, secret)
        assert volume_key(volume, secret) == key
        assert told("open", volume, "0", secret) == [key]
    assert not opens(volume, "another")
    found = metadata(volume)
    assert found["tokens"]["0"]["type"] == "systemd-tpm2"
    assert found["tokens"]["1"] == {"type": "systemd-recovery", "keyslots": ["1"]}
    assert found["segments"]["0"]["sector_size"] == 4096
    cryptsetup(
        *("luksAddKey", *FORMAT[2:], "--hash", "sha256", "--key-file", "-", volume),
        *(str(new_file(tmp_path, "added")),),
        secret=passphrase,
    )
    assert told("open", volume, "0", "added") == [key]


def new_file(folder: Path, text: str) -> Path:
    (folder / "file").write_text(text)
    return folder / "file"


def test_without_a_recovery_key(tmp_path: Path, tpm: Path) -> None:
    volume, _, (passphrase, recovery, _) = new_volume(tmp_path, tpm, "no")
    assert recovery == ""
    assert opens(volume, passphrase)
    assert list(metadata(volume)["keyslots"]) == ["0"]


def signatures(path: Path, *keys: Path) -> Path:
    """What these private keys sign of a PCR 11 into which nothing has been measured."""
    policy = policy_digest(bytes(32))
    entries = []
    for file in keys:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        public = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        )
        signature = key.sign(policy, padding.PKCS1v15(), hashes.SHA256())
        entries.append(
            {
                "pcrs": [11],
                "pkfp": hashlib.sha256(public).hexdigest(),
                "pol": policy.hex(),
                "sig": base64.b64encode(signature).decode(),
            }
        )
    path.write_text(json.dumps({"sha256": entries}))
    return path


def test_the_tpm_opens_it(tmp_path: Path, tpm: Path) -> None:
    """Until a PCR changes: 11, which must be signed, or 7."""
    volume, public, (passphrase, recovery, key) = new_volume(tmp_path, tpm)
    signed = signatures(tmp_path / "signatures", tmp_path / "keys" / "pcr.key")
    given = (volume, "-", tpm, signed, public, "no")
    assert told("unseal", *given) == [passphrase, "current", key]
    tool(tpm, f"tpm2_pcrextend 11:sha256={'11' * 32}")
    assert refusal("unseal", *given) == "PCR 11 is not signed by the key that it is sealed to"
    assert opens(volume, recovery)


def test_a_pcr_by_value(tmp_path: Path, tpm: Path) -> None:
    volume, public, _ = new_volume(tmp_path, tpm)
    signed = signatures(tmp_path / "signatures", tmp_path / "keys" / "pcr.key")
    tool(tpm, f"tpm2_pcrextend 7:sha256={'11' * 32}")
    assert refusal("unseal", volume, "-", tpm, signed, public, "no")


def test_a_new_key_in_place_of_the_old_one(tmp_path: Path, tpm: Path) -> None:
    volume, public, (passphrase, recovery, key) = new_volume(tmp_path, tpm)
    keys = tmp_path / "keys"
    exchange_pcr_key(keys)
    both = signatures(tmp_path / "both", keys / "pcr.key", keys / "previous.key")
    given = (volume, "-", tpm, both, public)
    assert told("unseal", *given, "yes") == [passphrase, "outdated", key]
    renewed = told("unseal", *given, "no")
    assert renewed[1:] == ["current", key]
    assert not opens(volume, passphrase)
    assert opens(volume, renewed[0])
    assert opens(volume, recovery)
    found = metadata(volume)
    assert sorted(found["keyslots"]) == ["1", "2"]
    assert sorted(found["tokens"]) == ["1", "2", "31"]
    old = signatures(tmp_path / "old", keys / "previous.key")
    assert refusal("unseal", volume, "-", tpm, old, public, "no")
    # And back into the first slot.
    assert told("unseal", *given, "yes")[2] == key
    assert sorted(metadata(volume)["keyslots"]) == ["0", "1"]
    assert opens(volume, recovery)


def test_a_change_that_is_cut_off(tmp_path: Path, tpm: Path) -> None:
    """Of the second copy alone, or of a part of it: the volume opens as before or as after."""
    volume, public, (passphrase, _, key) = new_volume(tmp_path, tpm)
    signed = signatures(tmp_path / "signatures", tmp_path / "keys" / "pcr.key")
    before = volume.read_bytes()
    given = (volume, "-", tpm, signed, public)
    told("unseal", *given, "yes")
    after = volume.read_bytes()
    slots = before[:0x8000], before[0x8000 : 0x8000 + 0x3F000], after[0x8000 + 0x3F000 :]
    volume.write_bytes(b"".join(slots))
    assert told("unseal", *given, "no") == [passphrase, "current", key]
    half = after[0x4000:0x5000] + before[0x5000:0x8000]
    volume.write_bytes(before[:0x4000] + half + b"".join(slots[1:]))
    assert told("unseal", *given, "no") == [passphrase, "current", key]
    volume.write_bytes(before[:0x4000] + after[0x4000:0x8000] + b"".join(slots[1:]))
    assert told("unseal", *given, "no")[1:] == ["current", key]


@pytest.fixture
def pair(tmp_path: Path, tpm: Path) -> tuple[Path, Path]:
    """Two volumes that were made together."""
    new_keys(tmp_path / "keys")
    volumes = blank(tmp_path / "first"), blank(tmp_path / "second")
    (tmp_path / "made").write_text(
        "\n".join(told("make", *volumes, tpm, tmp_path / "keys" / "pcr.pub", "yes"))
    )
    return volumes


def test_volumes_that_were_made_together(
    pair: tuple[Path, Path], tmp_path: Path, tpm: Path
) -> None:
    """Each has a key of its own, and one passphrase opens both, before and after sealing anew."""
    keys = tmp_path / "keys"
    passphrase, recovery, *own = (tmp_path / "made").read_text().splitlines()
    assert own[0] != own[1]
    given = (tpm, signatures(tmp_path / "signatures", keys / "pcr.key"), keys / "pcr.pub")
    for order in (1, -1):
        found = told("unseal", *pair[::order], *given, "no")
        assert found == [passphrase, "current", *own[::order]]
    told("unseal", *pair, *given, "yes")
    renewed = told("unseal", *pair, *given, "no")
    assert renewed[1:] == ["current", *own]
    for volume in pair:
        assert not opens(volume, passphrase)
        assert opens(volume, renewed[0])
        assert opens(volume, recovery)


def test_another_volume_in_the_place_of_the_second(
    pair: tuple[Path, Path], tmp_path: Path, tpm: Path
) -> None:
    """The same TPM would open it, too: somebody has sealed it there who knows its key."""
    keys = tmp_path / "keys"
    told("make", pair[1], "-", tpm, keys / "pcr.pub", "yes")
    signed = signatures(tmp_path / "signatures", keys / "pcr.key")
    given = (tpm, signed, keys / "pcr.pub", "no")
    assert len(told("unseal", pair[1], "-", *given)) == 3
    assert len(told("unseal", *pair, *given)) == 3


@pytest.mark.wide
def test_sealing_anew_that_is_cut_off_between_volumes(
    pair: tuple[Path, Path], tmp_path: Path, tpm: Path
) -> None:
    """Whichever of its writes are there, one token of the first volume opens both."""
    keys = tmp_path / "keys"
    own = (tmp_path / "made").read_text().splitlines()[2:]
    given = (tpm, signatures(tmp_path / "signatures", keys / "pcr.key"), keys / "pcr.pub")
    before = [volume.read_bytes() for volume in pair]
    line = ["strace", "-f", "-e", "trace=pwrite64", "-e", "inject=pwrite64:signal=KILL:when={}"]
    reached = set()
    for when in (2, 3, 4, 6, 7, 8, 9, 73, 1000):
        for volume, data in zip(pair, before, strict=True):
            volume.write_bytes(data)
        command = [*line[:-1], line[-1].format(when), str(DRIVER.program()), "unseal"]
        words = [*command, *map(str, (*pair, *given)), "yes"]
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run(words, env=environment, capture_output=True, check=False)
        reached.add(done.returncode)
        found = told("unseal", *pair, *given, "no")
        assert found[2:] == own, when
        if done.returncode == 0:
            break
    assert 0 in reached
    assert len(reached) > 1
