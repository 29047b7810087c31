"""Forward error correction: veritysetup makes the same parity, and repairs with ours. That Linux
does is in tests/boot/test_measured_boot.py."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from compos.filesystem.correction import COLUMNS, ROOTS, parity
from compos.filesystem.verity import BLOCK, Verity, hash_tree
from compos.image.digest import digest_of

pytestmark = pytest.mark.slow

SALT = bytes(range(32))
UUID = bytes(range(16))


def corrected(data: bytes) -> Verity:
    tree = hash_tree([data], salt=SALT, uuid=UUID)
    parts = (data[:70_000], data[70_000:], tree.data[BLOCK:])
    return tree._replace(correction=parity(parts, tree.corrected))


@pytest.mark.parametrize("blocks", [2, COLUMNS - 1, COLUMNS, 3 * COLUMNS + 7, 12 * COLUMNS])
def test_it_is_veritysetups(tmp_path: Path, blocks: int) -> None:
    data = random.Random(blocks).randbytes(BLOCK * blocks)
    made = corrected(data)
    image, tree = tmp_path / "image", tmp_path / "tree"
    image.write_bytes(data)
    offset = len(made.data)
    line = ["veritysetup", "format", str(image), str(tree), f"--salt={SALT.hex()}"]
    line += ["--uuid=00010203-0405-0607-0809-0a0b0c0d0e0f", f"--fec-roots={ROOTS}"]
    line += [f"--fec-device={tree}", f"--fec-offset={offset}"]
    subprocess.run(line, capture_output=True, check=True)
    theirs = tree.read_bytes()
    assert digest_of(theirs[:offset]) == digest_of(made.data)
    assert digest_of(theirs[offset:]) == digest_of(made.correction)


def test_veritysetup_repairs(tmp_path: Path) -> None:
    blocks = 2 * COLUMNS + 5
    data = random.Random(1).randbytes(BLOCK * blocks)
    made = corrected(data)
    image, tree = tmp_path / "image", tmp_path / "tree"
    tree.write_bytes(made.whole)
    line = ["veritysetup", "verify", str(image), str(tree), made.root.hex(), "--verbose"]
    line += [f"--fec-device={tree}", f"--fec-offset={len(made.data)}", f"--fec-roots={ROOTS}"]

    def verified(changed: bytes) -> tuple[int, str]:
        image.write_bytes(changed)
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert verified(data)[0] == 0
    # A byte in each of several code words.
    damaged = bytearray(data)
    for at in range(17 * BLOCK, 17 * BLOCK + 900):
        damaged[at] ^= 0x55
    status, said = verified(bytes(damaged))
    assert status == 0, said
    assert "repairable error" in said
    # Two bytes of one code word are more than can be repaired without knowing where they are.
    for column in (3, 4):
        damaged[column * 3 * BLOCK] ^= 1
    assert verified(bytes(damaged))[0] != 0


def test_what_is_missing_is_zeros() -> None:
    data = random.Random(2).randbytes(5 * BLOCK)
    assert parity([data], 5) == parity([data, bytes(BLOCK * COLUMNS)], 5)
    assert len(parity([data], COLUMNS + 1)) == 4 * BLOCK
