"""containerd's runtime-config.toml (docs/linuxkit.md#run-10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.compose.daemon import RUNTIME_CONFIG, daemon_lines, runtime_config
from compos.errors import ConfigError
from compos.tree.node import FILE, Hole, Node, file

START = ("containerd", "/usr/bin/containerd", "/run/containerd/containerd.sock")


def test_without_settings_containerd_has_no_options() -> None:
    assert daemon_lines(b"") == (START,)
    assert daemon_lines(b"other = 1\n") == (START,)


def test_options_are_split_at_white_space_and_outputs_kept() -> None:
    text = b'cliopts = " --log-level\\tdebug  -c x"\nstdout = "stdout"\nstderr = "/var/log/c"\n'
    assert daemon_lines(text) == (
        ("containerd-options", "--log-level debug -c x", "stdout", "/var/log/c"),
        START,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"cliopts = ", "invalid TOML"),
        (b"\xff", "invalid TOML"),
        (b"cliopts = 1", "not a string"),
        (b'stdout = "file"', "`stdout` is 'file'"),
        (b'cliopts = "' + b"a " * 3000 + b'"', "too long"),
    ],
)
def test_what_containerd_could_not_start_with_is_an_error(text: bytes, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        daemon_lines(text)
    assert caught.value.id == "config-containerd"
    assert caught.value.place == RUNTIME_CONFIG
    assert caught.value.hint


def test_the_file_is_taken_from_the_root(tmp_path: Path) -> None:
    assert runtime_config({}, tmp_path) == b""
    assert runtime_config({RUNTIME_CONFIG: file(b"x = 1", 0o644, 0)}, tmp_path) == b"x = 1"
    with pytest.raises(ConfigError, match="bytes"):
        runtime_config(
            {RUNTIME_CONFIG: Node(FILE, 0o644, size=1 << 40, content=(Hole(1 << 40),))}, tmp_path
        )
