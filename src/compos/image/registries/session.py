"""Requests to one repository of one registry: scheme, authentication, redirects, and what a refusal
means.

May touch: the network, through its `Client`. Follows the OCI distribution specification 1.1
("API", "Error Codes").
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from compos.errors import (
    ComposError,
    ConnectError,
    ConnectionBroken,
    ImageError,
    ImageNotFound,
    NetworkTimeout,
    RedirectError,
    TlsError,
    Unauthorized,
)
from compos.http.address import redirected, without_secrets
from compos.http.client import Answer, Client
from compos.http.retry import may_pass
from compos.image.json_document import parse_json
from compos.image.registries.auth import Authenticator, parse_challenges
from compos.image.registries.credentials import Credentials
from compos.image.registries.mirrors import Endpoint, is_private
from compos.image.transient import TransientError

__all__ = ["Session"]

_ERROR_LIMIT = 1 << 16
_MESSAGE_LENGTH = 200
_UNANSWERED = (TlsError, ConnectionBroken, NetworkTimeout, ConnectError)


class Session:
    """One repository; `name` is the image's as the user knows it, for errors. Used by several
    threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        *,
        actions: str = "pull",
        client: Client = Client(),
        credentials: Callable[[Endpoint], Credentials | None],
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._client = client
        self._lock = threading.Lock()
        self._base: str | None = None
        self._answered = False
        self._authenticator = Authenticator(
            name,
            lambda: credentials(endpoint),
            scope=f"repository:{endpoint.repository}:{actions}",
            client=client,
            may_send=endpoint.may_send_secrets,
        )

    @property
    def repository(self) -> str:
        """The repository's name at the registry."""
        return self._endpoint.repository

    def url(self, path: str) -> str:
        """The absolute URL of `path` (`manifests/TAG`) in the repository."""
        return f"{self.base()}/v2/{self._endpoint.repository}/{path}"

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> Iterator[Answer]:
        """One request, authenticated when the registry asks, redirects followed as
        `Client.request` does, to which `body` may go several times.

        Yields an answer of status 2xx or one of `allowed`; raises `ImageError` for others
        (`image-not-found`, `registry-auth`, `registry-denied`, `registry-rate-limit`,
        `registry-error`) and `ComposError` (`network-*`).
        """
        for final in (False, True):
            used = self._authenticator.header
            with self._redirected(method, url, dict(headers or {}), body, used) as answer:
                if answer.status == 401 and answer.at_home and not final:
                    challenges = parse_challenges(answer.headers.get("WWW-Authenticate", ""))
                    self._authenticator.answer(challenges, used, base=self.base())
                    continue
                if not 200 <= answer.status < 300 and answer.status not in allowed:
                    raise self.refusal(url, answer)
                yield answer
                return

    @contextmanager
    def _redirected(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | Iterable[bytes] | None,
        authorization: str | None,
    ) -> Iterator[Answer]:
        """The answer at the end of the redirects. The `Authorization` header goes to the registry
        itself only."""
        private = {"Authorization": authorization} if authorization else {}
        try:
            with self._client.request(
                method,
                url,
                headers=headers,
                private=private,
                body=body,
                home=self.base(),
            ) as answer:
                self._answered = True
                yield answer
        except ComposError as error:
            raise self._explained(error) from error.__cause__

    def follow(self, url: str, location: str) -> str:
        """The absolute URL of a `Location` header; raises `ImageError` (`registry-redirect`) when
        TLS would be left."""
        try:
            return redirected(url, location)
        except ComposError as error:
            raise self._explained(error) from error.__cause__

    def _explained(self, error: ComposError) -> ComposError:
        """`error` with what may be done about it here."""
        if isinstance(error, RedirectError):
            return ImageError(
                "registry-redirect",
                f"the registry does not provide the image: {error.message}",
                place=f"{self.name} at {error.place}",
                hint="Use a mirror, or contact the registry's operator.",
            )
        host = self._endpoint.host
        unanswered = (
            isinstance(error, _UNANSWERED)
            and not self._answered
            and self._endpoint.schemes == ("https",)
        )
        if unanswered and is_private(host) and not _untrusted(error):
            error.hint = (
                "If it has no TLS and you trust the network, allow plain HTTP with "
                f"--insecure-registry {host}."
            )
        return error

    # Scheme

    def base(self) -> str:
        """Scheme and host of the registry; found by asking when there is more than one scheme to
        try."""
        with self._lock:
            if self._base is None:
                schemes = self._endpoint.schemes
                self._base = (
                    self._probe(schemes)
                    if len(schemes) > 1
                    else f"{schemes[0]}://{self._endpoint.host}"
                )
            return self._base

    def _probe(self, schemes: tuple[str, ...]) -> str:
        """The first scheme that the registry speaks; the probe carries no credentials."""
        errors: list[ComposError] = []
        for scheme in schemes:
            base = f"{scheme}://{self._endpoint.host}"
            try:
                with self._client.send("GET", f"{base}/v2/") as answer:
                    # 400 is what servers with TLS answer to plain HTTP.
                    if scheme == "https" or answer.status != 400:
                        return base
            except ComposError as error:
                if _untrusted(error):
                    raise
                errors.append(error)
        if errors:
            raise errors[0]
        raise ImageError(
            "registry-error",
            "the registry supports neither HTTPS nor HTTP",
            place=self._endpoint.host,
        )

    # Refusals

    def refusal(self, url: str, answer: Answer) -> ImageError:
        """The error for an answer that refuses the request for `url`."""
        status = answer.status
        # Nothing to ask for again where the host is named in the image's name anyway.
        place = f"{self.name} at {without_secrets(url)}"
        said = self._said(answer)
        if status == 404:
            return ImageNotFound(
                "image-not-found",
                f"the registry does not have the image{said}",
                place=place,
                hint="Check the name and tag of the image; a private image requires docker login "
                "or podman login.",
            )
        if status in (401, 403):
            return Unauthorized(
                "registry-denied",
                f"the registry denies access{said}",
                place=place,
                hint="Check the name of the image, and that the account of docker login or podman "
                "login has access.",
            )
        if status == 429:
            return self._rate_limit(place, said, answer.delay)
        if may_pass(status):
            return TransientError(
                "registry-error",
                f"the registry returned status {status}{said}",
                place=place,
                hint="Try again later, or use a mirror.",
                delay=answer.delay,
            )
        return ImageError(
            "registry-error", f"the registry returned status {status}{said}", place=place
        )

    @staticmethod
    def _rate_limit(place: str, said: str, delay: float | None) -> ImageError:
        wait = f"in {delay:.0f} seconds" if delay is not None else "later"
        return TransientError(
            "registry-rate-limit",
            f"the registry's pull limit is reached{said}",
            place=place,
            hint=f"Try again {wait}, log in for a higher limit, or use a mirror.",
            delay=delay,
        )

    def _said(self, answer: Answer) -> str:
        """The registry's own words: the first of `errors` (OCI distribution specification, "Error
        Codes")."""
        try:
            first = parse_json(answer.beginning(_ERROR_LIMIT))["errors"][0]
            words = f"{first.get('code', '')} {first.get('message', '')}"
        except Exception:
            return ""
        shown = "".join(
            letter if letter.isprintable() else " " for letter in self._authenticator.hide(words)
        )
        return f": {shown.strip()[:_MESSAGE_LENGTH]}" if shown.strip() else ""


def _untrusted(error: BaseException | None) -> bool:
    """Whether a server with TLS answered, but with a certificate that is not trusted: no reason to
    go on without."""
    from ssl import SSLCertVerificationError

    while error is not None:
        if isinstance(error, SSLCertVerificationError):
            return True
        inner = error.args[-1] if error.args and isinstance(error.args[-1], BaseException) else None
        error = error.__cause__ or inner
    return False
