"""swtpm for a guest: found, started, ended with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.daemons import stop_daemons
from compos.run.tpm import find_swtpm, start_tpm, tpm_socket


def test_it_is_found() -> None:
    assert find_swtpm("x86_64", lambda name: f"/usr/bin/{name}") == "/usr/bin/swtpm"
    for arch, id in (("x86_64", "tpm-missing"), ("riscv64", "tpm-arch")):
        with pytest.raises(RunError) as caught:
            find_swtpm(arch, lambda _: None)
        assert caught.value.id == id
    with pytest.raises(RunError, match=r"cannot have a TPM 1\.2"):
        find_swtpm("aarch64", lambda name: name, old=True)


@pytest.mark.parametrize(("old", "name"), [(False, "tpm"), (True, "tpm12")])
def test_it_listens_and_keeps_its_state(old: bool, name: str, tmp_path: Path) -> None:
    daemon = start_tpm(find_swtpm("x86_64", old=old), tmp_path, old=old)
    try:
        assert tpm_socket(tmp_path).is_socket()
        assert daemon.poll() is None
    finally:
        stop_daemons([daemon])
    assert daemon.poll() is not None
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o700


def test_one_that_fails_says_why(tmp_path: Path) -> None:
    program = tmp_path / "swtpm"
    program.write_text("#!/bin/sh\necho no state >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(RunError, match="swtpm failed: no state") as caught:
        start_tpm(str(program), tmp_path)
    assert caught.value.id == "daemon-failed"
    with pytest.raises(RunError) as caught:
        start_tpm(str(tmp_path / "none"), tmp_path)
    assert caught.value.id == "daemon-failed"
