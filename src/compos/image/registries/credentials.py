"""Registry credentials as people have them: docker's and podman's files, and credential helpers.

May touch: the files named in `_files` and the programs `docker-credential-NAME`. Order and keys are
those of reference `yaml-and-build.md` section 5.4; formats are those of docker's `config.json` and
containers-auth.json(5).
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compos.errors import ImageError, Unauthorized
from compos.image.json_document import parse_json
from compos.image.reference import HUB, HUB_HOSTS
from compos.image.registries.mirrors import Endpoint
from compos.progress import notice

__all__ = ["Credentials", "find_credentials", "given_credentials"]

_HUB_KEY = f"https://{HUB_HOSTS[0]}/v1/"
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_TOKEN_USER = "<token>"  # noqa: S105 - what helpers answer in place of a user for an identity token
_HELPER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Credentials:
    """What proves who we are: user and password, or an identity token, or a registry's own
    token."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header with user and password (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown."""
        return tuple(filter(None, (self.password, self.identity_token, self.registry_token)))


def find_credentials(
    endpoint: Endpoint, environment: Mapping[str, str] | None = None
) -> Credentials | None:
    """What is known for `endpoint`: most specific key first, first file first; None for anonymous
    access.

    Raises `ImageError` (`registry-auth`) when a file cannot be read or understood.
    """
    keys = _keys(endpoint)
    for path in _files(os.environ if environment is None else environment):
        document = _read(path)
        for key in keys:
            if found := _from_helper(document, key) or _from_auths(document, key, path):
                return found
    return None


def given_credentials(texts: Sequence[str]) -> Callable[[Endpoint], Credentials | None]:
    """Credentials as LinuxKit's `--registry-creds` has them, `REGISTRY=USER:PASSWORD` or
    `REGISTRY=TOKEN`, a token that the registry takes as it is; registries that are not among them
    are asked without any. Raises `ImageError` (`registry-credentials`), which shows no more than
    the registry."""
    known: dict[str, Credentials] = {}
    for text in texts:
        name, equals, secret = text.partition("=")
        user, colon, password = secret.partition(":")
        host = _plain(name)
        try:
            if not host or not equals or not user or (colon and not password):
                raise ValueError("something is missing")
            found = _checked(user, password, "", "") if colon else _checked("", "", "", secret)
        except ValueError as error:
            raise ImageError(
                "registry-credentials",
                "these are no credentials",
                place=f"--registry-creds {host[:100]}=…" if equals else "--registry-creds",
                hint="Write REGISTRY=USER:PASSWORD or REGISTRY=TOKEN.",
            ) from error
        if host in (HUB, *HUB_HOSTS):
            host = HUB
        known[host] = found

    def find(endpoint: Endpoint) -> Credentials | None:
        host = HUB if endpoint.host in (HUB, *HUB_HOSTS) else endpoint.host
        return known.get(host)

    return find


def _keys(endpoint: Endpoint) -> list[str]:
    """The repository, each folder above it, the host; all under each name that the host goes by."""
    hosts = [endpoint.host]
    if endpoint.host in (HUB, *HUB_HOSTS):
        hosts = list(dict.fromkeys((*HUB_HOSTS, HUB)))
    parts = endpoint.repository.split("/")
    paths = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return [*(f"{host}/{path}" for path in paths for host in hosts), *hosts]


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    home = environment.get("HOME") or str(Path.home())
    docker = Path(environment.get("DOCKER_CONFIG") or Path(home, ".docker")) / "config.json"
    candidates = [docker]
    if environment.get("REGISTRY_AUTH_FILE"):
        candidates.append(Path(environment["REGISTRY_AUTH_FILE"]))
    if environment.get("XDG_RUNTIME_DIR"):
        candidates.append(Path(environment["XDG_RUNTIME_DIR"], "containers", "auth.json"))
    return (path for path in candidates if path.is_file())


def _read(path: Path) -> Mapping[str, Any]:
    try:
        document = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error
    if not isinstance(document, dict):
        raise _unreadable(path)
    return document


def _from_auths(document: Mapping[str, Any], key: str, path: Path) -> Credentials | None:
    auths = document.get("auths") or {}
    if not isinstance(auths, dict):
        raise _unreadable(path)
    entry = next((value for name, value in auths.items() if _plain(name) == key and value), None)
    if entry is None:
        return None
    try:
        user, password = entry.get("username") or "", entry.get("password") or ""
        if entry.get("auth"):
            # Line ends in it count for nothing, as Go's decoder has it.
            joined = re.sub(r"[\r\n]", "", entry["auth"])
            user, _, password = (
                base64.b64decode(joined, validate=True).decode().rstrip("\0").partition(":")
            )
        found = _checked(
            user, password, entry.get("identitytoken") or "", entry.get("registrytoken") or ""
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise _unreadable(path) from error
    return found if found.secrets else None


def _checked(
    user: object, password: object, identity_token: object, registry_token: object
) -> Credentials:
    """Credentials that a request can carry. Raises `ValueError` for anything but text, and for half
    characters in it.

    A registry's token goes into a header as it is: what is not visible ASCII could begin another
    one there.
    """
    for text in (user, password, identity_token, registry_token):
        if not isinstance(text, str):
            raise ValueError("it is not a string")
        text.encode()
    if not re.fullmatch(r"[\x21-\x7e]*", str(registry_token)):
        raise ValueError("the token contains characters that a header cannot have")
    return Credentials(str(user), str(password), str(identity_token), str(registry_token))


def _plain(name: str) -> str:
    """A key of `auths` without scheme and API version: docker once wrote whole URLs."""
    return re.sub(r"^https?://|/v[12]/?$|/$", "", name)


def _from_helper(document: Mapping[str, Any], key: str) -> Credentials | None:
    helpers = document.get("credHelpers") or {}
    server = _HUB_KEY if key == HUB_HOSTS[0] else key
    name = None
    if isinstance(helpers, dict):
        name = helpers.get(key) or helpers.get(server)
    # The default store is asked for hosts only: it knows no repositories.
    if not name and "/" not in key:
        name = document.get("credsStore")
    return _ask_helper(name, server) if isinstance(name, str) and _HELPER.fullmatch(name) else None


def _ask_helper(name: str, server: str) -> Credentials | None:
    """Run a credential helper's `get`; one that does not work is told about, and access is tried
    without it."""
    import subprocess

    program = f"docker-credential-{name}"
    try:
        result = subprocess.run(
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
        if result.returncode:
            if b"credentials not found" not in result.stdout + result.stderr:
                notice(f"{program} failed; continuing without credentials for {server}")
            return None
        answer = parse_json(result.stdout)
        found = _checked(answer["Username"], answer["Secret"], "", "")
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        notice(f"{program} does not work; continuing without credentials for {server}")
        return None
    return Credentials(identity_token=found.password) if found.user == _TOKEN_USER else found


def _unreadable(path: Path) -> ImageError:
    return Unauthorized(
        "registry-auth",
        "the file with registry credentials cannot be parsed",
        place=str(path),
        hint="Repair the file, or log in again with docker login or podman login.",
    )
