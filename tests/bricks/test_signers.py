"""Whose signatures of PCR 11 a system brings, as the data partition's program reads them; the rest
of it is tried in a guest (`make sealed-boots`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.bricks.compiler import BRICKS, DRIVERS, compile_sources

FOLDERS = ("data-partition/src", "attest/src", "disk/src", "metadata/src", "init/src")
ONE, OTHER = "ab" * 32, "ab" * 31 + "ac"


def entry(key: str) -> str:
    return f'{{"pcrs":[11],"pkfp":"{key}","pol":"00","sig":"AA=="}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "one"),
        ('"pkfp":"', "one"),
        ('"pkfp":"' * 3, "several"),
        (f'{{"sha256":[{entry(ONE)}]}}', "one"),
        (f'{{"sha256":[{entry(ONE)},{entry(ONE)}]}}', "one"),
        (f'{{"sha256":[{entry(ONE)},{entry(ONE)},{entry(OTHER)}]}}', "several"),
        (f'{{"sha256":[{entry(ONE)}' + " " * (64 << 10) + "]}", "one"),
    ],
    ids=["empty", "cut", "damaged", "one", "twice", "several", "too-long"],
)
def test_keys(text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "signatures").write_text(text)
    names = ["data-partition/src/seal/signers", "data-partition/src/seal/base64"]
    names += ["disk/src/disk/sha256", "disk/src/disk/bytes"]
    names += ["metadata/src/json/json", "metadata/src/json/utf8"]
    names += ["init/src/base/failure", "init/src/base/files"]
    sources = [DRIVERS / "data-partition" / "signers_driver.c"]
    sources += [BRICKS / f"{name}.c" for name in names]
    folders = [f"-I{BRICKS / name}" for name in FOLDERS]
    program = compile_sources("signers", sources, folders)
    command = [str(program), str(tmp_path / "signatures")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.strip() == expected
    (tmp_path / "signatures").unlink()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "one\n"
