"""Cables between guests: who gets which end, for how long, and which folders are refused."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.boot import Boot
from compos.run.links import Link, take_link, take_links
from compos.run.machine import launch
from compos.run.network import mac_address
from compos.run.qemu import Options
from compos.run.virtual_machine import VirtualMachine, arguments

MAC = "02:00:00:00:00:01"


def refused(folder: Path) -> str:
    with pytest.raises(RunError) as caught:
        take_link(folder, MAC)
    return caught.value.id


def test_two_guests_get_one_end_each(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cable"
    first, second = take_link(folder, MAC), take_link(folder, MAC)
    assert (first.own, first.other) == (second.other, second.own)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert refused(folder) == "link-in-use"
    first.release()
    again = take_link(folder, MAC)
    assert again.own == first.own
    for link in (second, again):
        link.release()


def test_all_ends_or_none(tmp_path: Path) -> None:
    """What was taken before the one that cannot be had is free again."""
    first = tmp_path / "first"
    with pytest.raises(RunError):
        take_links([(first, MAC), (tmp_path / ("x" * 100), MAC)])
    links = take_links([(first, MAC), (first, MAC)])
    assert [link.own.name for link in links] == ["0", "1"]
    for link in links:
        link.release()


def test_the_end_is_taken_as_long_as_qemu_runs(tmp_path: Path) -> None:
    """A program that only waits stands for QEMU: its descriptors are what counts."""
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\nuntil [ -e {tmp_path}/end ]; do sleep 0.02; done\n")
    program.chmod(0o755)
    link = take_link(tmp_path / "cable", MAC)
    options = Options(Boot(tmp_path / "os"), tmp_path, None, links=(link,), qemu=str(program))
    with launch(options) as machine:
        # This process has closed its own descriptor, and would get this end otherwise.
        second = take_link(tmp_path / "cable", MAC)
        assert second.own == link.other
        second.release()
        (tmp_path / "end").touch()
        machine.process.wait(30)
    third = take_link(tmp_path / "cable", MAC)
    assert third.own == link.own
    third.release()


def test_folders_of_others_and_long_names_are_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    assert refused(shared) == "link-foreign"
    assert list(shared.iterdir()) == []
    assert refused(tmp_path / ("x" * 100)) == "link-name"
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file") == "link-failed"
    # A lock that is a link could be anybody's file.
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    (mine / "0.lock").symlink_to(tmp_path / "elsewhere")
    assert refused(mine) == "link-failed"
    assert not (tmp_path / "elsewhere").exists()


def test_each_card_has_an_address_that_lasts(tmp_path: Path) -> None:
    cards = [mac_address(tmp_path, card) for card in range(3)]
    assert len(set(cards)) == 3
    assert [mac_address(tmp_path, card) for card in range(3)] == cards


def test_the_cards_come_behind_the_first_in_their_order() -> None:
    links = (Link(Path("a,b/0"), Path("a,b/1"), MAC), Link(Path("c/1"), Path("c/0"), MAC))
    for networking, first in (("user", "-netdev user,id=t0 "), ("none", "-net none ")):
        line = " ".join(arguments(replace(VirtualMachine(), networking=networking, links=links)))
        positions = [
            line.index(part)
            for part in (
                first,
                f"-device virtio-net-pci,netdev=t1,romfile=,mac={MAC} -netdev dgram,id=t1,",
                ",local.type=unix,local.path=a,,b/0,remote.type=unix,remote.path=a,,b/1 ",
                "-netdev dgram,id=t2,local.type=unix,local.path=c/1,",
            )
        ]
        assert positions == sorted(positions)


def test_qemu_understands_them(tmp_path: Path) -> None:
    """Frozen before its first instruction, it has made the sockets."""
    link = take_link(tmp_path / "cable", MAC)
    line = arguments(VirtualMachine(networking="none", links=(link,), memory=64))
    process = subprocess.Popen(
        [*line, "-S"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        for _ in range(600):
            if link.own.is_socket() or process.poll() is not None:
                break
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
        assert link.own.is_socket()
    finally:
        process.kill()
        process.communicate()
        link.release()
