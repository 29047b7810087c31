"""A BuildKit daemon in a container of the Docker Engine, as LinuxKit keeps one: both programs then
share it (docs/linuxkit.md#cli-2.10).

May touch: the engine, through the program `docker`. The container is used as it is if it is what
was asked for, and replaced if not; its volume `NAME-state`, which has the cache, goes only with
another image.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from compos.errors import PackageError
from compos.package.builders.program import answer, reported
from compos.package.builders.request import Container
from compos.progress import notice

__all__ = ["prepared"]

SETTINGS = "/etc/buildkit"
CONFIG = f"{SETTINGS}/buildkitd.toml"
SECONDS = 30
"""For the daemon to answer."""

MAX_FILE = 1 << 20
"""Bytes of the daemon's configuration, and of each file that it names."""

_TITLE = "docker"


def prepared(container: Container, context: str = "") -> str:
    """The address of the daemon, which runs now, in a Docker `context` or the default one. Raises
    `PackageError` (`builder-config`, `builder-failed`)."""
    docker = ("docker", *(("--context", context) if context else ()))
    files = _files(container.config) if container.config else {}
    there = _inspected(docker, container.name)
    if there is not None and (why := _wrong(docker, there, container, files)):
        notice(f"the container {container.name} {why}, and is replaced")
        reported(_TITLE, (*docker, "container", "rm", "--force", container.name))
        if there.image != container.image:
            answer(*docker, "volume", "rm", f"{container.name}-state")
        there = None
    if there is None:
        _create(docker, container, files)
    if there is None or not there.running:
        reported(_TITLE, (*docker, "container", "start", container.name))
    _wait(docker, container.name)
    return f"docker-container://{container.name}" + (f"?context={context}" if context else "")


class _There(NamedTuple):
    """A container as the engine has it."""

    image: str
    privileged: bool
    running: bool


def _inspected(docker: tuple[str, ...], name: str) -> _There | None:
    status, text = answer(*docker, "container", "inspect", name)
    if status:
        return None
    (found,) = json.loads(text)
    return _There(
        found["Config"]["Image"], found["HostConfig"]["Privileged"], found["State"]["Running"]
    )


def _wrong(
    docker: tuple[str, ...], there: _There, container: Container, files: Mapping[str, bytes]
) -> str:
    """Why a container is not what was asked for; empty if it is."""
    if container.restart:
        return "is to be restarted"
    if there.image != container.image:
        return f"is of the image {there.image}"
    if not there.privileged:
        return "is not privileged"
    if files and _configured(docker, container.name) != _digest(files[CONFIG]):
        return "has another configuration"
    return ""


def _configured(docker: tuple[str, ...], name: str) -> str:
    """The digest of the configuration in a container; empty if it has none that can be read."""
    done = subprocess.run(
        [*docker, "container", "cp", f"{name}:{CONFIG}", "-"], capture_output=True, check=False
    )
    try:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            stream = archive.extractfile(archive.next() or "")
            return _digest(stream.read(MAX_FILE)) if stream else ""
    except (tarfile.TarError, KeyError, AttributeError):
        return ""


def _create(docker: tuple[str, ...], container: Container, files: Mapping[str, bytes]) -> None:
    command = [*docker, "container", "create", "--name", container.name, "--privileged"]
    command += ["--volume", f"{container.name}-state:/var/lib/buildkit", container.image]
    command += ["--allow-insecure-entitlement", "network.host"]
    command += ["--addr", "unix:///run/buildkit/buildkitd.sock", "--debug"]
    command += ["--config", CONFIG] if files else []
    reported(_TITLE, command)
    if files:
        done = subprocess.run(
            [*docker, "container", "cp", "-", f"{container.name}:/"],
            input=_packed(files),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            answer(*docker, "container", "rm", container.name)
            raise _unusable(Path(CONFIG), done.stdout.decode("utf-8", "replace").strip()[-500:])


def _wait(docker: tuple[str, ...], name: str) -> None:
    for _ in range(SECONDS):
        status, text = answer(*docker, "container", "exec", name, "buildctl", "debug", "workers")
        if not status:
            return
        time.sleep(1)
    raise PackageError(
        "builder-failed",
        f"the BuildKit daemon in the container {name} does not answer: {text[-500:]}",
        place="--builder-name",
        hint=f"See `docker container logs {name}`.",
    )


def _files(path: Path) -> dict[str, bytes]:
    """The configuration and the certificates that it names, by their paths in the container."""
    data = _read(path)
    try:
        config = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _unusable(path, f"it is not TOML: {error}") from error
    text, found = data.decode(), {}
    for old, new in _certificates(config):
        found[new] = _read(path.parent / old)
        # Only whole strings are replaced: the rest of the file stays as it was written.
        for quote in ('"', "'"):
            text = text.replace(f"{quote}{old}{quote}", f"{quote}{new}{quote}")
    return {CONFIG: text.encode(), **found}


def _certificates(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths of certificates and keys, here and in the container."""
    registries = config.get("registry")
    for host, settings in registries.items() if isinstance(registries, dict) else ():
        if not isinstance(settings, dict):
            continue
        folder = f"{SETTINGS}/certs/{re.sub('[^A-Za-z0-9.-]+', '_', host)}"
        pairs = settings.get("keypair") or []
        keys = [
            pair.get(name) for pair in pairs if isinstance(pair, dict) for name in ("key", "cert")
        ]
        for one in (*(settings.get("ca") or []), *keys):
            if isinstance(one, str):
                yield one, f"{folder}/{Path(one).name}"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise _unusable(path, (error.strerror or str(error)).lower()) from error
    if len(data) > MAX_FILE:
        raise _unusable(path, f"it is larger than {MAX_FILE >> 20} MiB")
    return data


def _packed(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        folders = {str(parent) for name in files for parent in Path(name).parents} - {"/"}
        for folder in sorted(folders - {"/etc"}):
            member = tarfile.TarInfo(folder.lstrip("/"))
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size, member.mode = len(data), 0o600
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unusable(path: Path, reason: str) -> PackageError:
    return PackageError(
        "builder-config",
        f"the configuration of BuildKit cannot be used: {reason}",
        place=str(path),
        hint="Use a buildkitd.toml, and files that it can name.",
    )
