"""What the door asks of an image when there is a policy: who must have signed it, and did they?

May touch: the network, through a registry's client; the store, which keeps signatures beside what
they sign (`compos.trust.kept`), so that a build needs no network for an image that it has. They are
checked again each time: a key that has left the policy does not count any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from compos.errors import ImageError, NetworkError
from compos.image.archives.local import local_path
from compos.image.digest import Digest
from compos.image.model import ImageIndex, parse_document
from compos.image.names import ENGINE, LOCK, is_built_here
from compos.image.offer import Offer
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.store import Store
from compos.progress import notice
from compos.trust.identity import expanded, folder_scopes, name_scopes
from compos.trust.policy import Accept, Policy, Reject, Signed, Unsupported

if TYPE_CHECKING:
    from compos.image.registries.registry import Registry
    from compos.trust.attachments import Attached
    from compos.trust.evidence import Signature
    from compos.trust.judge import Judge

__all__ = ["Guard"]


class _Subject(NamedTuple):
    """An image as policies see it. `asked` is None for one of this machine; `found` has the
    signatures that came with it."""

    transport: str
    scopes: tuple[str, ...]
    asked: Reference | None
    name: str
    digests: tuple[Digest, ...]
    found: Callable[[], Iterable[Attached]]


class Guard:
    """Policies, of which each must be satisfied.

    `registry` makes the client that signatures are fetched with; `located` says where an image is
    whose name does not (our bricks, with a registry of bricks).
    """

    def __init__(
        self,
        store: Store,
        policies: Sequence[Policy],
        registry: Callable[[], Registry],
        located: Callable[[Reference], Reference] = lambda reference: reference,
    ) -> None:
        self._store = store
        self._policies = policies
        self._registry = registry
        self._located = located
        self._judge: Judge | None = None
        self._told: set[str] = set()
        self.signers: dict[Digest, list[str]] = {}
        """Who signed each digest, as far as it was required."""

    def through(self, registry: Callable[[], Registry]) -> Guard:
        """The same policies, with signatures that are fetched by another client."""
        return Guard(self._store, self._policies, registry, self._located)

    def require(self, offer: Offer, platform: Platform, digests: Sequence[Digest]) -> Digest:
        """The first of `digests` (an index; the manifest that it leads to) that is trusted.

        Raises `ImageError`: `image-signature`, `image-untrusted`, `image-revoked`, `signature-key`;
        and `NetworkError` if signatures cannot be fetched.
        """
        if self._is_built_here(offer, platform, digests[-1]):
            return digests[0]
        subject = self._subject(offer, digests)
        trusted = [self._require(policy, subject) for policy in self._policies]
        # Of an index that not all policies believe, only the manifest counts.
        return max(trusted, key=digests.index)

    def _is_built_here(self, offer: Offer, platform: Platform, manifest: Digest) -> bool:
        """Whether an image was made from its recipe: the one that has this name here, and no other,
        or what came out when it was locked, by its digest."""
        if offer.origin is not None:
            return offer.origin.kind == LOCK
        entry = self._store.resolve(offer.asked)
        if entry is None or not is_built_here(self._store, offer.asked, platform):
            return False
        if entry.digest == offer.root.digest:
            return True
        if not self._store.has(entry.digest):
            return False
        # Another platform has been built since: the index is another one, this image the same.
        _, document = parse_document(self._store.read(entry.digest), media_type=entry.media_type)
        images = document.images() if isinstance(document, ImageIndex) else ()
        return any(one.digest == manifest and one.platform == platform for one in images)

    def require_copy(self, name: str) -> None:
        """Raise `ImageError` if an image must be signed, of which an earlier build's tar has a
        copy: a tar has no signatures."""
        reference = Reference.find(name)
        if reference is None:
            return
        subject = _Subject(
            "docker",
            tuple(name_scopes(self._named(reference))),
            None,
            name,
            (),
            tuple,
        )
        for policy in self._policies:
            for one in policy.requirements(subject.transport, subject.scopes):
                if isinstance(one, Signed):
                    reason = "it is copied from an earlier build's tar, which has no signatures"
                    raise _unsigned(reason, subject, policy)
                self._simple(one, policy, subject)

    def _subject(self, offer: Offer, digests: Sequence[Digest]) -> _Subject:
        if offer.title:
            path, _ = local_path(offer.asked)
            transport = offer.asked.partition(":")[0]
            scopes = () if transport == "docker-archive" else folder_scopes(os.path.realpath(path))
            return _Subject(
                transport,
                tuple(scopes),
                None,
                offer.asked,
                tuple(digests),
                lambda: self._attached(offer),
            )
        reference = Reference.parse(offer.asked)
        engine = offer.origin is not None and offer.origin.kind == ENGINE
        named = self._named(reference)
        return _Subject(
            "docker-daemon" if engine else "docker",
            tuple(name_scopes(named)),
            named,
            offer.asked,
            tuple(digests),
            tuple if engine else lambda: self._of_registry(reference, digests),
        )

    def _named(self, reference: Reference) -> Reference:
        named = expanded(self._located(reference))
        return named if named.tag or named.digest else named._replace(tag="latest")

    def _require(self, policy: Policy, subject: _Subject) -> Digest:
        """The digest of `subject` that `policy` believes."""
        for digest in subject.digests:
            if digest in policy.revoked:
                raise ImageError(
                    "image-revoked",
                    "the image is not trusted: the policy has revoked it",
                    place=f"{subject.name}@{digest}",
                    hint=f"Use a newer image; {policy.place} lists the digest.",
                )
        found = 0
        required = policy.requirements(subject.transport, subject.scopes)
        for one in required:
            if isinstance(one, Signed):
                found = max(found, self._signed(one, policy, subject))
            else:
                self._simple(one, policy, subject)
        if policy.explicit and all(isinstance(one, Accept) for one in required):
            self._tell(f"{subject.name} need not be signed: {policy.place} accepts it")
        return subject.digests[found]

    def _simple(
        self, one: Accept | Reject | Unsupported, policy: Policy, subject: _Subject
    ) -> None:
        if isinstance(one, Accept):
            return
        reason = one.reason if isinstance(one, Unsupported) else "the policy rejects it"
        raise ImageError(
            "image-untrusted",
            f"the image is not trusted: {reason}",
            place=_place(subject),
            hint=f"Say in {policy.place} who must have signed images of this name.",
        )

    def _signed(self, required: Signed, policy: Policy, subject: _Subject) -> int:
        """The number of the digest that is signed as `required`."""
        from compos.trust.judge import Found, Judge
        from compos.trust.judge import Wanted as Asked

        self._judge = self._judge or Judge()
        wanted = Asked(subject.asked, tuple(subject.digests))
        attached: list[Attached] = []

        def signatures(source: Iterable[Attached]) -> Iterator[Signature]:
            for one in source:
                attached.append(one)
                yield from one.signatures()

        verdict = self._judge.require(required, wanted, signatures(self._kept(subject)))
        if not isinstance(verdict, Found):
            known = len(attached)
            try:
                verdict = self._judge.require(required, wanted, signatures(subject.found()))
            except NetworkError as error:
                error.place = f"signatures of {subject.name}: {error.place or ''}"
                raise
            if isinstance(verdict, Found) and len(attached) > known:
                # Not at the top: most builds have no policy.
                from compos.trust.kept import keep

                keep(self._store, subject.digests[0], attached[known:])
        if not isinstance(verdict, Found):
            raise _unsigned(verdict, subject, policy)
        digest = Digest(verdict.digest)
        self.signers.setdefault(digest, []).append(verdict.signer)
        return [*subject.digests].index(digest)

    def _of_registry(self, reference: Reference, digests: Sequence[Digest]) -> Iterator[Attached]:
        from compos.trust.attachments import signatures_of_registry

        registry = self._registry()
        for digest in digests:
            yield from signatures_of_registry(registry, self._store, reference, digest)

    def _attached(self, offer: Offer) -> Iterator[Attached]:
        """The signatures that lie in an image layout beside the image."""
        from compos.trust.attachments import attached_to

        if offer.beside is not None:
            for manifest in offer.beside():
                yield from attached_to(self._store, manifest, offer.carrier)

    def _kept(self, subject: _Subject) -> Iterator[Attached]:
        from compos.trust.kept import kept

        return kept(self._store, subject.digests[0]) if subject.asked else iter(())

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            notice(text)


def _unsigned(reason: str, subject: _Subject, policy: Policy) -> ImageError:
    return ImageError(
        "image-signature",
        f"the image is not trusted: {reason}",
        place=_place(subject),
        hint=f"Who must have signed it is said in {policy.place}.",
    )


def _place(subject: _Subject) -> str:
    return f"{subject.name}@{subject.digests[0]}" if subject.digests else subject.name
