"""Hash trees of dm-verity, as veritysetup makes and checks them."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from compos.filesystem.verity import BLOCK, PER_BLOCK, hash_tree

pytestmark = pytest.mark.slow

SALT = bytes(range(32))
UUID = bytes(range(16))


@pytest.mark.parametrize("blocks", [2, PER_BLOCK, PER_BLOCK + 1, PER_BLOCK**2, PER_BLOCK**2 + 1])
def test_it_is_veritysetups(tmp_path: Path, blocks: int) -> None:
    data = random.Random(blocks).randbytes(BLOCK) * blocks
    made = hash_tree([data[:5000], data[5000:]], salt=SALT, uuid=UUID)
    image, tree = tmp_path / "image", tmp_path / "tree"
    image.write_bytes(data)
    line = ["veritysetup", "format", str(image), str(tree), f"--salt={SALT.hex()}"]
    line += ["--uuid=00010203-0405-0607-0809-0a0b0c0d0e0f"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    root = re.search(r"Root hash:\s+([0-9a-f]+)", said)
    assert root is not None
    assert root[1] == made.root.hex()
    assert tree.read_bytes().rstrip(b"\0") == made.data.rstrip(b"\0")
    # Behind the data, as it is on a disk; and any flipped bit is noticed.
    image.write_bytes(data + made.data)
    line = ["veritysetup", "verify", str(image), str(image), made.root.hex()]
    line += [f"--hash-offset={len(data)}"]
    assert subprocess.run(line, capture_output=True, check=False).returncode == 0
    for at in (100, len(data) - 1, len(data) + BLOCK + 3, len(data) + len(made.data) - BLOCK):
        changed = bytearray(data + made.data)
        changed[at] ^= 1
        image.write_bytes(changed)
        assert subprocess.run(line, capture_output=True, check=False).returncode != 0, at


def test_only_whole_blocks() -> None:
    for size in (0, BLOCK, 2 * BLOCK + 1):
        with pytest.raises(ValueError, match="two whole blocks"):
            hash_tree([bytes(size)], salt=SALT, uuid=UUID)
