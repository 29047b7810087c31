"""The table of `trust`: who must have signed images. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from compos.config import model
from compos.config.check import Complaint, regular_expression
from compos.config.kinds import Flag, ListOf, Text, key, table

__all__ = ["LOCAL_SCHEMES", "TRUST", "is_pem", "trust_files"]

LOCAL_SCHEMES = ("oci:", "oci-archive:", "docker-archive:", "docker-daemon:")
"""Begin the scopes of images that come from no registry."""

SIGNED_NAMES = ("repository", "exact", "any")

_HOST = re.compile(r"(\*\.[a-z0-9.-]+|localhost|[a-zA-Z0-9-]+([.:][a-zA-Z0-9.:-]+)+)(/[^\s]+)?")


def _scope(text: str) -> Iterator[Complaint]:
    """A registry, a namespace or an image, or images of this machine."""
    if not text.startswith(LOCAL_SCHEMES) and not _HOST.fullmatch(text):
        yield Complaint(
            "config-trust",
            f"{text[:100]!r} does not begin with a registry",
            "Write HOST[:PORT][/PATH][:TAG], such as docker.io/library/nginx, or oci: and a path.",
        )


def _digest(text: str) -> Iterator[Complaint]:
    if not re.fullmatch("sha256:[0-9a-f]{64}", text):
        yield Complaint(
            "config-trust",
            f"{text[:100]!r} is not an image's digest",
            "Write sha256: and 64 hexadecimal digits.",
        )


def _one_identity(given: model.Identity) -> Iterator[Complaint]:
    if (given.subject is None) == (given.subject_pattern is None):
        yield Complaint(
            "config-trust",
            "an identity has either a subject or a subjectPattern",
            "Write the address or URI that the certificate is for.",
        )


def _one_way(given: model.TrustRule) -> Iterator[Complaint]:
    if sum(map(bool, (given.keys or given.identities, given.unsigned, given.reject))) > 1:
        yield Complaint(
            "config-trust",
            "a rule has keys and identities, or unsigned, or reject",
            "Remove all but one of them.",
        )


def is_pem(text: str) -> bool:
    """Whether a key is written in the YAML itself."""
    return text.lstrip().startswith("-----BEGIN ")


def trust_files(trust: model.Trust) -> list[str]:
    """The files of this machine that `trust` names."""
    texts = [*(trust.keys or ()), *(trust.log_keys or ()), *(trust.authorities or ())]
    texts += [one for rule in trust.images or () for one in rule.keys or ()]
    texts += [trust.trusted_root] if trust.trusted_root else []
    return [one for one in texts if not is_pem(one)]


TEXTS = ListOf(Text())
IDENTITIES = ListOf(
    table(
        model.Identity,
        "Who must have been certified as the signer.",
        key("issuer", Text(), "Who identified the signer: a URL.", required=True),
        key("subject", Text(), "The signer: an address of mail or a URI."),
        key(
            "subjectPattern",
            Text(regular_expression("config-trust")),
            "Likewise, as a regular expression that all of it must match.",
        ),
        complaints=_one_identity,
    )
)
RULE = table(
    model.TrustRule,
    "Who must have signed the images of a registry, a namespace or a repository; the narrowest "
    "`match` counts.",
    key(
        "match",
        Text(_scope),
        "HOST[:PORT][/PATH][:TAG], `*.DOMAIN`, or oci:, oci-archive:, docker-archive: or "
        "docker-daemon: with or without a path.",
        required=True,
    ),
    key("keys", TEXTS, "Public keys: PEM files, or PEM itself; one must have signed [trust.keys]."),
    key("identities", IDENTITIES, "Identities; one must have signed [trust.identities]."),
    key(
        "signedName",
        Text(choices=SIGNED_NAMES),
        "Which name the signature must have: the image's `repository`, `exact` with tag, or `any` "
        "[repository].",
    ),
    key("unsigned", Flag(), "Accept these images without a signature [false]."),
    key("reject", Flag(), "Use none of these images [false]."),
    complaints=_one_way,
)
TRUST = table(
    model.Trust,
    "Who must have signed images. LinuxKit's lists `image` and `org` name images that must be "
    "signed with `keys`; without keys they have no effect.",
    key("image", TEXTS, "Images, as LinuxKit has them."),
    key("org", TEXTS, "Namespaces of the public hub, or HOST/NAMESPACE."),
    key("keys", TEXTS, "Public keys for what has none of its own."),
    key("identities", IDENTITIES, "Identities for what has none of its own."),
    key("images", ListOf(RULE), "Rules for images."),
    key(
        "default",
        Text(choices=("accept", "reject")),
        "What happens to images that no rule matches [reject].",
    ),
    key("revoked", ListOf(Text(_digest)), "Digests of images that are refused, signed or not."),
    key(
        "logKeys",
        TEXTS,
        "Public keys of transparency logs, one of which must have an entry of the signature.",
    ),
    key("authorities", TEXTS, "Certificates of those who may certify identities: PEM files."),
    key("trustedRoot", Text(), "Sigstore's trusted_root.json, instead of the last two."),
)
