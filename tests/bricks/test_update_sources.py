"""The brick update: when a machine looks, whether a rollout has come to it, what it finds at a
registry, and which versions of data keep an update away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from itertools import pairwise

import pytest

from scripts.rollout import place
from tests.bricks.compiler import compile_brick
from tests.registry import FakeRegistry, Fault

HOUR, DAY = 3600, 86_400


def scheduled(*lines: str) -> list[str]:
    program = compile_brick("update", driver="schedule")
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


NIGHT = f"{2 * HOUR} {3 * HOUR}"
ACROSS = f"{23 * HOUR} {2 * HOUR}"


@pytest.mark.parametrize(
    ("window", "now", "wait", "chance", "expected"),
    [
        ("0 0", 5, 60, 7, "1 0 60"),
        (NIGHT, 10 * DAY + 2 * HOUR, 0, 7, "1 0 0"),
        (NIGHT, 10 * DAY + 5 * HOUR - 1, 0, 7, "1 0 0"),
        (NIGHT, 10 * DAY + 5 * HOUR, 0, 7, f"0 {21 * HOUR} {21 * HOUR + 7}"),
        (NIGHT, HOUR, 0, 3 * HOUR + 5, f"0 {HOUR} {HOUR + 5}"),
        (NIGHT, 10 * DAY + 3 * HOUR, DAY, 7, f"1 0 {DAY}"),
        (NIGHT, 10 * DAY + 3 * HOUR, 12 * HOUR, 7, f"1 0 {23 * HOUR + 7}"),
        (ACROSS, DAY - 1, 0, 7, "1 0 0"),
        (ACROSS, DAY + HOUR - 1, 0, 7, "1 0 0"),
        (ACROSS, DAY + HOUR, 0, 7, f"0 {22 * HOUR} {22 * HOUR + 7}"),
    ],
)
def test_windows(window: str, now: int, wait: int, chance: int, expected: str) -> None:
    assert scheduled(f"{window} {now} {wait} {chance}") == [expected]


def test_a_rollout_grows_and_takes_others_each_time() -> None:
    names = [f"52:54:00:12:{number >> 8:02x}:{number & 255:02x}" for number in range(2000)]
    shares = ("0", "0.5", "10", "25%", "99.99%", "100")
    found = [scheduled(*(f"rollout 1.5.0 {share}|{name}" for name in names)) for share in shares]
    taken = [
        {name for name, said in zip(names, one, strict=True) if said == "takes"} for one in found
    ]
    assert all(one <= other for one, other in pairwise(taken))
    assert (len(taken[0]), len(taken[-1])) == (0, 2000)
    assert 150 < len(taken[2]) < 250
    # As the simulation of fleets has it.
    assert taken[3] == {name for name in names if place(name, "1.5.0") < 2500}
    other = {name for name in names if place(name, "1.6.0") < 2500}
    assert 60 < len(taken[3] & other) < 190


@pytest.mark.parametrize(
    "text",
    [
        *("", "1.5.0", "25 1.5.0", "1.5.0 101", "1.5.0 -1", "1.5.0 2x", "1.5.0 1.234", "x 25"),
        *("1.5.0 25 more", "1.5.0 100.01", "1.5.0 .5", "1" * 3000 + " 5", "1.5.0 " + "9" * 3000),
    ],
)
def test_what_is_no_rollout(text: str) -> None:
    assert scheduled(f"rollout {text}|m") == ["wrong"]


DIGEST = f"sha256:{'ab' * 32}"
BUNDLE = "application/vnd.compos.update.bundle.v1"
LAYER = {"mediaType": BUNDLE, "digest": DIGEST, "size": 7}


def manifest(layers: object = (LAYER,), **annotations: str) -> bytes:
    return json.dumps({"schemaVersion": 2, "layers": layers, "annotations": annotations}).encode()


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def found(fake: FakeRegistry, name: str = "acme/gateway:stable") -> tuple[str, str]:
    """What is found, or why nothing is."""
    program = compile_brick("update", driver="registry")
    line = [str(program), f"oci+http://{fake.host}/{name}"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout, done.stderr


def publish(fake: FakeRegistry, data: bytes) -> None:
    kind = "application/vnd.oci.image.manifest.v1+json"
    fake.documents["acme/gateway", "stable"] = (kind, data)


@pytest.mark.root
def test_a_registry(fake: FakeRegistry) -> None:
    publish(fake, manifest())
    blob = f"http://{fake.host}/v2/acme/gateway/blobs/{DIGEST}"
    assert found(fake) == (f"{blob}\n\n\n", "")
    rollout = {"org.opencontainers.image.version": "1.5.0", "org.compos.update.rollout": "5"}
    publish(fake, manifest(**rollout))
    assert found(fake) == (f"{blob}\n\n1.5.0 5\n", "")
    publish(fake, manifest(**{"org.opencontainers.image.version": "1.5.0"}))
    assert found(fake) == (f"{blob}\n\n1.5.0 100\n", "")
    request = fake.asked("/manifests/stable")[0]
    assert request.headers["accept"] == "application/vnd.oci.image.manifest.v1+json"


@pytest.mark.root
def test_a_registry_that_gives_tokens(fake: FakeRegistry) -> None:
    publish(fake, manifest())
    fake.realm = f"http://{fake.host}/token"
    fake.tokens = {"secret.token"}
    fake.answer_token = lambda request, _: (200, {"token": "secret.token"})
    stdout, stderr = found(fake)
    assert (stdout.splitlines()[1], stderr) == ("Authorization: Bearer secret.token", "")
    (request,) = fake.asked("/token")
    assert "scope=repository:acme/gateway:pull" in request.path
    fake.answer_token = lambda request, _: (403, {})
    assert "the registry gives no token: status 403" in found(fake)[1]
    fake.answer_token = lambda request, _: (200, {"token": "two\r\nLines: 1"})
    assert "the registry gives no token" in found(fake)[1]


@pytest.mark.root
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", ""),
        (b"[]", "there is no update"),
        (b'{"layers": 7}', "there is no update"),
        (manifest([{**LAYER, "digest": f"{DIGEST[:-1]}/"}]), "there is no update"),
        (manifest([{**LAYER, "digest": f"{DIGEST}0"}]), "there is no update"),
        (manifest([{**LAYER, "mediaType": "x"}]), "there is no update"),
        (b"[" * 100_000, ""),
        (b" " * (2 << 20), ""),
        (bytes(1000), ""),
    ],
    ids=range(9),
)
def test_what_is_no_update(fake: FakeRegistry, data: bytes, reason: str) -> None:
    publish(fake, data)
    stdout, stderr = found(fake)
    assert stdout == ""
    assert reason in stderr
    assert stderr.strip()


@pytest.mark.root
def test_registries_that_fail(fake: FakeRegistry) -> None:
    assert "status 404" in found(fake)[1]
    publish(fake, manifest())
    fake.misbehave(Fault("truncate", on="/manifests/", times=9, value=10))
    assert found(fake)[1]
    fake.misbehave(Fault("redirect", on="/manifests/", times=20))
    assert found(fake)[1]
    fake.misbehave(Fault("redirect", on="/manifests/", times=1, text="file:///etc/passwd"))
    assert found(fake)[1]


@pytest.mark.root
def test_a_password_is_nothing_that_it_has(fake: FakeRegistry) -> None:
    fake.user = fake.password = "somebody"
    assert "the registry wants a name and a password" in found(fake)[1]
