"""Answers to a registry that asks who we are: Basic, and Bearer tokens from the server that it
names.

May touch: the network, through its `Client`. Follows RFC 9110 section 11.6.1 (`WWW-Authenticate`)
and the distribution project's "Token Authentication" and "OAuth2 Token Authentication". Tokens are
kept in memory only.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit, urlunsplit

from compos.errors import ComposError, ImageError, RedirectError, Unauthorized
from compos.http.address import web_address, without_secrets
from compos.http.client import Answer, Client
from compos.http.retry import may_pass
from compos.image.json_document import parse_json
from compos.image.registries.credentials import Credentials
from compos.image.transient import TransientError

__all__ = ["Authenticator", "Challenge", "parse_challenges"]

_TOKEN_LIMIT = 1 << 20
_LOG_IN = "Log in with docker login or podman login, and check the name of the image."
_PART = re.compile(
    r"""\s*(?:,\s*)*                                  # separators
        ([!#$%&'*+.^_`|~0-9A-Za-z-]+)                 # a scheme, or the name of a parameter
        (?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]+))?      # the parameter's value
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a server offers; scheme and parameter names are in lower
    case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> list[Challenge]:
    """Read a `WWW-Authenticate` header, which may offer several ways; what cannot be read ends the
    list."""
    challenges: list[Challenge] = []
    position = 0
    while match := _PART.match(header, position):
        position = match.end()
        name, value = match[1].lower(), match[2]
        if value is None:
            challenges.append(Challenge(name))
        elif challenges:
            quoted = value.startswith('"')
            challenges[-1].parameters[name] = (
                re.sub(r"\\(.)", r"\1", value[1:-1]) if quoted else value
            )
    return challenges


class Authenticator:
    """Who we are towards one repository; used by several threads, which then share one token."""

    def __init__(
        self,
        place: str,
        credentials: Callable[[], Credentials | None],
        *,
        scope: str,
        client: Client = Client(),
        may_send: Callable[[str], bool] = lambda url: url.startswith("https:"),
    ) -> None:
        """`may_send` says whether secrets may go to a URL."""
        self._place = place
        self._find = credentials
        self._scope = scope
        self._client = client
        self._may_send = may_send
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self.header: str | None = None
        """The value of the `Authorization` header that has served until now."""

    def hide(self, text: str) -> str:
        """`text` without any secret that we know."""
        header = (self.header or "").rpartition(" ")[2]
        for secret in filter(
            None, (*(self._credentials.secrets if self._credentials else ()), header)
        ):
            text = text.replace(secret, "***")
        return text

    def answer(self, challenges: Sequence[Challenge], used: str | None, *, base: str) -> None:
        """Have `header` answer one of `challenges`, made by the registry at `base` after a request
        with the header `used`.

        Raises `ImageError` (`registry-auth`, `registry-denied`).
        """
        with self._lock:
            if self.header != used:
                return
            if self._credentials is None:
                self._credentials = self._find()
            offered = {challenge.scheme: challenge for challenge in reversed(challenges)}
            if "bearer" in offered:
                self.header = f"Bearer {self._token(offered['bearer'].parameters, base)}"
            elif "basic" in offered and self._credentials and self._credentials.user:
                self._require_privacy(base)
                self.header = self._credentials.basic
            elif "basic" in offered:
                raise self._refused(
                    "the registry requires a user name and a password, but none is stored"
                )
            else:
                raise self._refused(
                    "the registry requires an authentication method that is not supported"
                )
            if self.header == used:
                raise self._refused("the registry rejects the stored credentials")

    def _require_privacy(self, url: str) -> None:
        """Raise `ImageError` (`registry-auth`) when secrets would go to `url`, and must not."""
        if not self._may_send(url):
            host = urlsplit(url).netloc.rpartition("@")[2]
            raise self._refused(
                f"the password would be sent to {host} over plain HTTP",
                f"Use TLS or, if you trust the network, allow it with --insecure-registry {host}.",
            )

    def _token(self, parameters: dict[str, str], base: str) -> str:
        """A token from the server named in a challenge, for what the challenge says, else for our
        own scope."""
        known = self._credentials
        if known and known.registry_token:
            self._require_privacy(base)
            return known.registry_token
        try:
            realm = web_address(parameters.get("realm", ""))
        except ComposError as error:
            raise self._refused("the registry does not name a token server") from error
        if base.startswith("https:") and realm.scheme != "https":
            raise self._refused("the registry uses a token server without TLS")
        address = urlunsplit(realm._replace(netloc=realm.netloc.rpartition("@")[2], fragment=""))
        if known and known.secrets:
            self._require_privacy(address)
        scope = parameters.get("scope") or self._scope
        query = {"service": parameters["service"]} if parameters.get("service") else {}
        query["scope"] = scope
        if known and known.identity_token:
            form = {
                "grant_type": "refresh_token",
                "client_id": "compos",
                "refresh_token": known.identity_token,
            }
            return self._fetch(address, form=urlencode({**form, **query}).encode())
        private = {}
        if known and known.user:
            private["Authorization"] = known.basic
            query["account"] = known.user
        separator = "&" if realm.query else "?"
        return self._fetch(f"{address}{separator}{urlencode(query)}", private)

    def _fetch(
        self, url: str, private: dict[str, str] | None = None, form: bytes | None = None
    ) -> str:
        """The token that a server gives for a GET, or for a POST of `form`; secrets stay with the
        server that was named."""
        headers = {"Accept": "application/json"}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            with self._client.request(
                "GET" if form is None else "POST",
                url,
                headers=headers,
                private=private,
                body=form,
                private_body=form is not None,
            ) as answer:
                self._check_status(answer)
                data = answer.beginning(_TOKEN_LIMIT + 1)
        except RedirectError as error:
            refused = self._refused(f"the token server cannot be used: {error.message}")
            refused.place = f"{self._place} at {error.place}"
            raise refused from error
        try:
            document = parse_json(data, limit=_TOKEN_LIMIT)
            token = document.get("token") or document.get("access_token")
        except (ValueError, AttributeError):
            token = None
        # Anything but visible ASCII could smuggle a second header in.
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise self._refused("the token server's response contains no token")
        return token

    def _check_status(self, answer: Answer) -> None:
        if may_pass(answer.status):
            raise TransientError(
                "registry-error",
                f"the token server returned status {answer.status}",
                place=without_secrets(answer.url),
                hint="Try again later.",
                delay=answer.delay,
            )
        if answer.status != 200:
            what = (
                "rejects the credentials"
                if self._credentials
                else "does not allow anonymous access"
            )
            raise self._refused(f"the token server {what} (status {answer.status})")

    def _refused(self, message: str, hint: str = _LOG_IN) -> ImageError:
        return Unauthorized("registry-auth", message, place=self._place, hint=hint)
