"""Somebody who publishes images at a registry and signs them; and a stranger who builds with
them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from _pytest.capture import CaptureResult

from compos.cli.main import main
from compos.image.attestation import put_attestation
from compos.image.digest import Digest
from compos.image.reference import Reference
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.trust.attachments import push_signature
from compos.trust.keys import PrivateKey
from tests.images import AMD64, ARM64, Member, make_image, make_index, put_image
from tests.trust.pairs import key_pair

__all__ = ["Team"]


class Team:
    def __init__(self, folder: Path, host: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.host = host
        self.store = Store(folder / "publisher")
        self.registry = Registry()
        self._capsys = capsys
        self.keys: dict[str, tuple[Path, Path]] = {}

    def key(self, name: str = "team", kind: str = "EC") -> tuple[Path, Path]:
        """The files of a key pair, made when it is first asked for."""
        if name not in self.keys:
            (self.folder / "keys" / name).mkdir(parents=True)
            self.keys[name] = key_pair(self.folder / "keys" / name, kind)
        return self.keys[name]

    def name(self, image: str, tag: str = "v1") -> str:
        return f"{self.host}/{image}:{tag}"

    def push(self, image: str, content: str = "", tag: str = "v1") -> Digest:
        """Publish an image with one file; gives its digest."""
        name = self.name(image, tag)
        members = [Member("etc", "dir", 0o755), Member("etc/x", content=content or image)]
        make_image(self.store, name, [members])
        return push(self.store, name, registry=self.registry).digest

    def push_index(self, image: str) -> Digest:
        """Publish an image for two architectures, with what is attested of one."""
        name = self.name(image)
        members = [Member("etc", "dir", 0o755), Member("etc/x", content=image)]
        made = {
            one: put_image(self.store, layers=[members], platform=one)[0] for one in (AMD64, ARM64)
        }
        document = {"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": []}
        attested = put_attestation(self.store, name, made[AMD64], AMD64, document)
        make_index(self.store, name, made, attestation=attested)
        return push(self.store, name, registry=self.registry).digest

    def sign(self, image: str, key: str = "team", *, at: str = "", tag: str = "v1") -> None:
        """Sign what the registry has as `image`; put the signature beside the image `at`."""
        private = PrivateKey.read(self.key(key)[0])
        name = Reference.parse(self.name(image, tag))
        digest = self.registry.digest(name)
        assert digest
        push_signature(
            self.registry, self.store, Reference.parse(self.name(at or image, tag)), digest, private
        )

    def printed(self) -> CaptureResult[str]:
        """What was printed since it was asked for last."""
        return self._capsys.readouterr()

    def system(self, *names: str, more: str = "") -> Path:
        """A system of these images."""
        path = self.folder / "os.yml"
        path.write_text(f"init: {json.dumps(names)}\n{more}")
        return path

    def policy(self, *requirements: dict[str, Any], scope: str = "", **others: Any) -> Path:
        """A policy that rejects everything else."""
        path = self.folder / "policy.json"
        document = {
            "default": [{"type": "reject"}],
            "transports": {"docker": {scope or self.host: requirements}},
            **others,
        }
        path.write_text(json.dumps(document))
        return path

    def signed_by(self, key: str = "team", **others: Any) -> dict[str, Any]:
        """The requirement of a signature of this key, as cosign makes it."""
        return {
            "type": "sigstoreSigned",
            "keyPath": str(self.key(key)[1]),
            "signedIdentity": {"type": "matchRepository"},
            **others,
        }

    def build(self, *options: str, store: str = "builder") -> str:
        """Build the system; gives what is printed, and sees that there is a tar only if it is
        right."""
        output = self.folder / "os.tar"
        output.unlink(missing_ok=True)
        where = ("--cache", str(self.folder / store), "--dir", str(self.folder), "-f", "tar")
        code = main(["build", *where, *options, str(self.folder / "os.yml")])
        error = self._capsys.readouterr().err
        assert (code == 0) == output.exists() == ("error[" not in error), error
        return error
