"""What publishing systems needs: the SDKs of clouds, keys in tokens."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec

from compos.api.access import Access
from compos.api.doctor.finding import Finding, Verdict, package

__all__ = ["EXTRAS", "PUBLISHING"]

AREA = "publish"
EXTRAS = {
    "signatures": (("cryptography", "rfc3161_client"), "signing and verifying"),
    "dev": (("textual", "watchfiles"), "compos dev"),
    "aws": (("boto3",), "push aws"),
    "azure": (("azure.identity", "azure.mgmt.core", "azure.storage.blob"), "push azure"),
    "gcp": (("google.auth", "requests"), "push gcp"),
    "openstack": (("openstack",), "push openstack"),
    "scaleway": (("boto3",), "push scaleway"),
    "digitalocean": (("boto3",), "push digitalocean"),
}
"""Of the package: the modules that each brings, and what for."""


def extras(access: Access) -> Sequence[Finding]:
    """Optional libraries."""
    found = []
    for name, (modules, purpose) in EXTRAS.items():
        missing = [module for module in modules if not _is_there(module)]
        if missing:
            text = f"{', '.join(missing)} not installed: no {purpose}"
            remedy = f"pip install 'compos-linux[{name}]'"
            found.append(Finding(AREA, f"extra {name}", Verdict.ABSENT, text, remedy))
        else:
            found.append(Finding(AREA, f"extra {name}", Verdict.OK, f"for {purpose}"))
    return found


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # its parent is missing
        return False


def tokens(access: Access) -> Sequence[Finding]:
    """Keys in tokens and smart cards."""
    from compos.trust.pkcs11 import PROGRAM

    if path := shutil.which(PROGRAM):
        return [Finding(AREA, "PKCS #11", Verdict.OK, path)]
    text = f"{PROGRAM} is not installed: no keys in tokens"
    return [Finding(AREA, "PKCS #11", Verdict.ABSENT, text, package("opensc"))]


PUBLISHING = (extras, tokens)
