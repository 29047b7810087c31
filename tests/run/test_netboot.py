"""What machines that boot from the network get of a built system: scripts by hand, requests over
HTTP and HTTPS by curl."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.netboot import MAX_CMDLINE, netboot
from compos.run.serve import listen
from compos.run.tls import server_context
from tests.certificate import self_signed

SCRIPT = """#!ipxe
iseq ${platform} efi && goto efi || goto bios
:bios
kernel boot-kernel console=ttyS0 quiet
initrd boot-initrd.img
boot
:efi
kernel boot-kernel initrd=initrd console=ttyS0 quiet
initrd --name initrd boot-initrd.img
boot
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    folder = tmp_path / "my systems"
    folder.mkdir()
    (folder / "a b#%-kernel").write_bytes(b"kernel")
    (folder / "a b#%-initrd.img").write_bytes(b"initrd")
    (folder / "a b#%-cmdline").write_text("console=ttyS0 quiet\n")
    (folder / "a b#%-secret").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    return folder / "a b#%"


@contextmanager
def served(prefix: Path, folder: Path | None = None, tls: Path | None = None) -> Iterator[str]:
    """The address of a server."""
    context = server_context(tls, tls.with_name("key.pem")) if tls else None
    directory = str(folder) if folder else None
    with listen("127.0.0.1", 0, directory, boot=netboot(prefix), tls=context) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(0.02), daemon=True)
        thread.start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def curl(url: str, *flags: str) -> tuple[str, bytes]:
    """Status and body."""
    done = subprocess.run(
        ["curl", "-s", "--path-as-is", "-w", "\n%{http_code}", *flags, url],
        capture_output=True,
        check=False,
        timeout=30,
    )
    body, _, status = done.stdout.rpartition(b"\n")
    return status.decode(), body


def test_the_script_of_kernel_and_initrd(prefix: Path) -> None:
    system = netboot(prefix)
    assert system.script() == SCRIPT
    assert system.offers() == ["boot.ipxe"]


def test_uefi_gets_the_program_where_there_is_one(prefix: Path) -> None:
    prefix.with_name("a b#%.efi").write_bytes(b"MZ")
    system = netboot(prefix)
    assert system.script() == SCRIPT.partition(":efi")[0] + ":efi\nchain boot.efi\n"
    assert system.offers() == ["boot.ipxe", "boot.efi"]
    for suffix in ("-kernel", "-initrd.img", "-cmdline"):
        prefix.with_name(f"a b#%{suffix}").unlink()
    assert "exit 1\n:efi\nchain boot.efi\n" in netboot(prefix).script()


def test_a_system_without_a_command_line(prefix: Path) -> None:
    prefix.with_name("a b#%-cmdline").unlink()
    assert "kernel boot-kernel \n" in netboot(prefix).script()


@pytest.mark.parametrize(
    "cmdline",
    ["a=${net0/mac}", "a\nboot", "a\rboot", "a ; shell", "a || shell", "a && shell", "# a", "a #b", "ä", 'a="b  c"', "a\0b",
     "x" * (MAX_CMDLINE + 1), ";", "a &&"],
)  # fmt: skip
def test_what_a_script_cannot_say(prefix: Path, cmdline: str) -> None:
    """iPXE would carry it out, or boot something else than was built."""
    system = netboot(prefix)
    prefix.with_name("a b#%-cmdline").write_text(cmdline)
    with pytest.raises(RunError) as caught:
        netboot(prefix)
    assert caught.value.id == "netboot-cmdline"
    assert system.script() == ""


@pytest.mark.parametrize("cmdline", ["a=b;c d=#e", "a=$b{c}", "init=/x -- y", 'dyndbg="file x +p"'])
def test_what_a_script_can_say(prefix: Path, cmdline: str) -> None:
    prefix.with_name("a b#%-cmdline").write_text(cmdline)
    assert f"kernel boot-kernel {cmdline}\n" in netboot(prefix).script()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("none", "boot-missing"),
        ("none/none", "boot-missing"),
        ("os.yml", "boot-not-built"),
        ("\0", "boot-missing"),
    ],
)
def test_what_is_no_system(tmp_path: Path, name: str, error: str) -> None:
    with pytest.raises(RunError) as caught:
        netboot(tmp_path / name)
    assert caught.value.id == error


def test_only_the_system_is_served(prefix: Path) -> None:
    with served(prefix) as url:
        assert curl(f"{url}/boot.ipxe") == ("200", SCRIPT.encode())
        assert curl(f"{url}/boot.ipxe", "-I")[0] == "200"
        assert curl(f"{url}/boot-kernel") == ("200", b"kernel")
        assert curl(f"{url}/boot-initrd.img", "-r", "2-3") == ("206", b"it")
        assert curl(f"{url}/boot-initrd.img", "-r", "9-") == ("416", b"")
        for path in (
            *("/", "/boot.efi", "/boot-secret", "/a%20b%23%25-secret", "/a%20b%23%25-kernel"),
            *("/../secret", "/boot-kernel/../../secret", "/boot-kernel/", "/boot-%6bernel"),
            *("/%2e%2e/secret", "/boot-kernel%00", "//etc/passwd"),
        ):
            status, body = curl(f"{url}{path}")
            assert (status, b"secret" in body) == ("404", False), path
        # Built again, the next machine boots the new one.
        prefix.with_name("a b#%.efi").write_bytes(b"MZ new")
        assert curl(f"{url}/boot.efi") == ("200", b"MZ new")
        assert b"chain boot.efi" in curl(f"{url}/boot.ipxe")[1]
        head = curl(f"{url}/boot.efi", "-I")[1]
        assert b"Content-Type: application/efi\r\n" in head
        assert b"Content-Length: 6\r\n" in head


def test_a_folder_besides(prefix: Path, tmp_path: Path) -> None:
    folder = tmp_path / "also"
    folder.mkdir()
    (folder / "file").write_text("file")
    (folder / "boot.ipxe").write_text("mine")
    with served(prefix, folder) as url:
        assert curl(f"{url}/file") == ("200", b"file")
        assert curl(f"{url}/boot.ipxe")[1] == SCRIPT.encode()


def test_tls(prefix: Path, tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path)
    initrd = prefix.with_name("a b#%-initrd.img")
    initrd.write_bytes(b"0123456789" * 300_000)
    with served(prefix, tls=certificate) as url:
        trust = ("--cacert", str(certificate))
        assert curl(f"{url}/boot-initrd.img", *trust) == ("200", initrd.read_bytes())
        assert curl(f"{url}/boot-initrd.img", "-r", "5-14", *trust) == ("206", b"5678901234")
        assert curl(f"{url}/boot.ipxe", "--tls-max", "1.1", *trust)[0] == "000"
        assert curl(url.replace("https", "http") + "/boot.ipxe")[0] == "000"
        assert curl(f"{url}/boot.ipxe", *trust) == ("200", SCRIPT.encode())


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path)
    key, other, encrypted = (tmp_path / name for name in ("key.pem", "other.pem", "locked.pem"))
    make = ["openssl", "genpkey", "-algorithm", "ed25519", "-out"]
    subprocess.run([*make, other], check=True, capture_output=True)
    lock = ["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:hidden", "-out"]
    subprocess.run([*lock, encrypted], check=True, capture_output=True)
    for pair in (
        (certificate, None),
        (certificate, other),
        (certificate, encrypted),
        (certificate, tmp_path / "none"),
        (tmp_path / "none", key),
        (key, key),
        (tmp_path, key),
    ):
        with pytest.raises(RunError) as caught:
            server_context(*pair)
        assert caught.value.id == "serve-certificate"
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    server_context(both, None)
