"""Running a builder's program: the context is written to it, its output is read, and it ends with
the build.

May touch: the process that it starts. What the program prints appears in an error, its last lines,
or on request in notices; without secrets.
"""

from __future__ import annotations

import contextvars
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from compos.errors import PackageError
from compos.package.builders.request import Request
from compos.progress import notice

__all__ = [
    "answer",
    "common_flags",
    "oci_exporter",
    "proxy_arguments",
    "reported",
    "run",
    "secret_values",
]

SHOWN_LINES = 20
"""Lines of a failed program's output that are shown."""

MAX_LINE = 1 << 16
"""Bytes of a line of output that are kept."""

ANSWER_SECONDS = 30
"""For a question to a program; daemons that sleep take some seconds to answer."""

END_SECONDS = 10
"""For a program to end when it is asked to."""

MIN_SECRET = 4
"""Characters of a secret that is looked for: a shorter one would be found everywhere."""

MAX_SECRET = 64 << 10
"""Bytes of a secret that is looked for in output."""

_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "ftp_proxy", "all_proxy")

_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def answer(*command: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The exit status of a short command, and what it printed; 127 if it cannot be started, 124 if
    it does not end."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=ANSWER_SECONDS,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} does not answer"
    except OSError as error:
        return 127, (error.strerror or str(error)).lower()
    return done.returncode, _plain(done.stdout).strip()


def reported(
    title: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> str:
    """What a short command prints. Raises `PackageError` (`builder-failed`) if it fails."""
    status, text = answer(*command, environment=environment)
    if status:
        raise PackageError(
            "builder-failed",
            f"{title} reports an error: {(text.splitlines() or ['no reason given'])[-1][:500]}",
            place=" ".join(command),
            hint="Check that it is running.",
        )
    return text


def run(
    title: str,
    place: str,
    command: Sequence[str | Path],
    *,
    feed: Callable[[BinaryIO], None] | None = None,
    environment: Mapping[str, str] | None = None,
    hidden: Sequence[str] = (),
    shows_output: bool = False,
) -> None:
    """Run `command` to its end, with what `feed` writes as its standard input. With `shows_output`,
    a notice reports each line that it prints; `hidden` are texts that neither these nor an error
    show. Raises `PackageError` (`builder-failed`), and what `feed` raises."""
    try:
        process = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            # Of an interrupt it hears from here, and so do the programs that it starts.
            start_new_session=True,
        )
    except OSError as error:
        raise PackageError(
            "builder-failed",
            f"{title} cannot be started: {(error.strerror or str(error)).lower()}",
            place=place,
            hint="Check its installation, or use another --builder.",
        ) from error
    lines: deque[bytes] = deque(maxlen=SHOWN_LINES)

    def show(line: bytes) -> None:
        if shows_output and (text := _without(_plain(line), hidden).strip()):
            notice(text)

    try:
        # Notices go where those of this thread go.
        context = contextvars.copy_context()
        reading = (_read, process, lines, show)
        reader = threading.Thread(target=context.run, args=reading, daemon=True)
        reader.start()
        _feed(process, feed)
        status = process.wait()
        reader.join()
    except BaseException:
        _end(process)
        raise
    if status:
        shown = _without(_plain(b"\n".join(lines)), hidden)
        raise PackageError(
            "builder-failed",
            f"{title} reports an error (exit status {status})",
            place=place,
            hint="Correct what it reports.",
            excerpt="\n".join(f"  {line}" for line in shown.splitlines() if line.strip()) or None,
        )


def common_flags(request: Request, *, cache_to: bool = True) -> list[str]:
    """Flags that docker and buildah have in common: arguments, labels, secrets, cache; without
    `cache_to` none that says where a cache goes."""
    options = request.options
    line = []
    for flag, values in (("--build-arg", request.arguments), ("--label", request.labels)):
        for name, value in values.items():
            line += [flag, f"{name}={value}"]
    for flag, words in (
        ("--secret", options.secrets),
        ("--ssh", options.ssh),
        ("--cache-to", options.cache_to if cache_to else ()),
        ("--cache-from", options.cache_from),
    ):
        for word in words:
            line += [flag, word]
    return line if request.cache else [*line, "--no-cache"]


def proxy_arguments(network: bool) -> list[str]:
    """Docker's flags for the proxies of this machine, for steps with `network`. Values, which may
    have passwords, stay in the environment; steps see them without `ARG`, and no image or cache has
    them (Dockerfile reference, "Predefined ARGs")."""
    names = [name for name in _PROXIES for name in (name, name.upper())] if network else []
    return [word for name in names if os.environ.get(name) for word in ("--build-arg", name)]


def oci_exporter(archive: Path) -> str:
    """BuildKit's `--output` for an OCI archive without times later than that of the build, as CSV:
    a path may have commas."""
    path = str(archive).replace('"', '""')
    return f'type=oci,"dest={path}",rewrite-timestamp=true'


def secret_values(secrets: Sequence[str]) -> list[str]:
    """The values of secrets in the syntax of `docker buildx build --secret`: `id=ID[,src=FILE]` or
    `id=ID,env=NAME`; and each of their lines. What cannot be read is the builder's error."""
    found: list[str] = []
    for secret in secrets:
        options = dict(part.partition("=")[::2] for part in secret.split(","))
        name = options.get("id", "")
        variable = options.get("env") or name
        path = options.get("src") or options.get("source")
        value = os.environ.get(variable, "") if not path else ""
        if path or (options.get("type") == "file" and name):
            with suppress(OSError), Path(path or name).open("rb") as stream:
                value = stream.read(MAX_SECRET).decode("utf-8", "replace")
        found += [value, *value.splitlines()]
    # The longest first: a part must not hide the whole.
    texts = {one.strip() for one in found if len(one.strip()) >= MIN_SECRET}
    return sorted(texts, key=lambda text: (-len(text), text))


def _feed(process: subprocess.Popen[bytes], feed: Callable[[BinaryIO], None] | None) -> None:
    if feed is None or process.stdin is None:
        return
    # A program that needs no more, or has failed, closes its end; it says why by its status.
    with suppress(BrokenPipeError):
        try:
            feed(process.stdin)  # type: ignore[arg-type]
        finally:
            process.stdin.close()


def _read(
    process: subprocess.Popen[bytes], lines: deque[bytes], show: Callable[[bytes], None]
) -> None:
    assert process.stdout is not None, "it is a pipe"  # noqa: S101
    with process.stdout:
        while line := process.stdout.readline(MAX_LINE):
            lines.append(line.rstrip(b"\r\n"))
            show(lines[-1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program with all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)


def _plain(data: bytes) -> str:
    return _ESCAPES.sub(b"", data).decode("utf-8", "replace")


def _without(text: str, hidden: Sequence[str]) -> str:
    for one in hidden:
        text = text.replace(one, "***")
    return text
