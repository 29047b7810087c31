"""Mirrors and schemes: the rules of the reference, one row each."""

from __future__ import annotations

import pytest

from compos.errors import ImageError
from compos.image.reference import HUB, HUB_HOSTS, Reference
from compos.image.registries.mirrors import Endpoint, Mirrors

PLAIN = ("http",)
SECURE = ("https",)
BOTH = ("https", "http")

# specifications, LINUXKIT_MIRROR, reference → endpoint
CASES = [
    ([], "", "alpine", Endpoint(HUB_HOSTS[0], "library/alpine", SECURE)),
    (["http://m:1"], "", "alpine", Endpoint("m:1", "library/alpine", PLAIN)),
    (["http://m:1/"], "", "h.example/xy", Endpoint("m:1", "xy", PLAIN)),
    (["http://m:1/pre/fix/"], "", "h.example/x/y", Endpoint("m:1", "pre/fix/x/y", PLAIN)),
    (["https://mirror"], "", "a/b/c", Endpoint("mirror", "a/b/c", SECURE)),
    ([f"{HUB}=http://m:1"], "", "alpine", Endpoint("m:1", "library/alpine", PLAIN)),
    ([f"{HUB}/=http://m:1"], "", f"{HUB_HOSTS[1]}/a/b", Endpoint("m:1", "a/b", PLAIN)),
    ([f"{HUB}=http://m:1"], "", "h.example/xy", Endpoint("h.example", "xy", SECURE)),
    (["h.example=http://m:1", "http://n:2"], "", "h.example/xy", Endpoint("m:1", "xy", PLAIN)),
    (["h.example=http://m:1", "http://n:2"], "", "h.example:5/xy", Endpoint("n:2", "xy", PLAIN)),
    (["http://m:1", "http://n:2"], "", "alpine", Endpoint("n:2", "library/alpine", PLAIN)),
    (["http://n:2"], "http://m:1", "alpine", Endpoint("n:2", "library/alpine", PLAIN)),
    ([], "h.example=http://m:1, http://n:2", "h.example/xy", Endpoint("m:1", "xy", PLAIN)),
    ([], "h.example=http://m:1 http://n:2", "alpine", Endpoint("n:2", "library/alpine", PLAIN)),
    (["http://m:1/a=b"], "", "h.example/xy", Endpoint("m:1", "a=b/xy", PLAIN)),
    (["http://user:secret@m:1"], "", "h.example/xy", Endpoint("m:1", "xy", PLAIN)),
]


@pytest.mark.parametrize(("specifications", "variable", "name", "endpoint"), CASES)
def test_endpoint(specifications: list[str], variable: str, name: str, endpoint: Endpoint) -> None:
    mirrors = Mirrors.parse(specifications, {"LINUXKIT_MIRROR": variable})
    assert mirrors.endpoint(Reference.parse(name)) == endpoint


@pytest.mark.parametrize(
    "text", ["m:1", "ftp://m", "h=m:1", "http://", "=http://m", "h.example=", "x=y=http://"]
)
def test_nonsense(text: str) -> None:
    with pytest.raises(ImageError) as caught:
        Mirrors.parse([text], {})
    assert caught.value.id == "mirror-syntax"


def test_secrets_are_not_shown() -> None:
    with pytest.raises(ImageError) as caught:
        Mirrors.parse(["ftp://user:secret@host/"], {})
    assert "secret" not in str(caught.value)


SCHEMES = {
    "h.example": SECURE,
    "h.example:5000": SECURE,
    "8.8.8.8:5000": SECURE,
    "172.32.0.1": SECURE,
    "local:5000": SECURE,
    "1.2.3:5000": SECURE,
    "10.0.0.7:5000": SECURE,
    "172.31.0.1": SECURE,
    "192.168.1.1:5000": SECURE,
    "box.local": SECURE,
    "box.local:5000": SECURE,
    "localhost:5000": ("http", "https"),
    "localhost": ("http", "https"),
    "x.localhost:80": ("http", "https"),
    "127.0.0.1:5000": ("http", "https"),
    "[::1]:5000": ("http", "https"),
}


@pytest.mark.parametrize("host", SCHEMES)
def test_schemes(host: str) -> None:
    assert Mirrors().endpoint(Reference.parse(f"{host}/x/y")).schemes == SCHEMES[host]


@pytest.mark.parametrize(
    ("agreed", "host", "schemes"),
    [
        ("10.0.0.7:5000", "10.0.0.7:5000", BOTH),
        ("10.0.0.7", "10.0.0.7:5000", BOTH),
        ("10.0.0.7:5000", "10.0.0.7:5001", SECURE),
        ("10.0.0.7:5000", "10.0.0.7", SECURE),
        ("10.0.0.0/8", "10.9.9.9:1", BOTH),
        ("10.0.0.0/8", "11.0.0.1", SECURE),
        ("10.0.0.0/8", "10.0.0.1.h.example", SECURE),
        ("Box.Local", "box.local:5000", BOTH),
        ("box.local", "x.box.local", SECURE),
        ("h.example", "h.example", BOTH),
        ("h.example", "evil-h.example", SECURE),
        ("h.example", "h.example.evil", SECURE),
        ("[fd00::1]:5000", "[fd00::1]:5000", BOTH),
        ("[fd00::1]", "[fd00::1]:5000", BOTH),
        ("fd00::/8", "[fd00::1]:5000", BOTH),
    ],
)
def test_plain_http_where_the_user_agreed(agreed: str, host: str, schemes: tuple[str, ...]) -> None:
    reference = Reference.parse(f"{host}/x/y")
    for mirrors in (
        Mirrors.parse([], {}, [agreed]),
        Mirrors.parse([], {"COMPOS_INSECURE_REGISTRIES": f"a, {agreed}"}),
    ):
        endpoint = mirrors.endpoint(reference)
        assert endpoint.schemes == schemes
        assert endpoint.may_send_secrets(f"https://{host}/")
        assert endpoint.may_send_secrets(f"http://{host}/") == (schemes == BOTH)


@pytest.mark.parametrize(
    "text",
    ["http://h.example", "h.example/x", "u@h", ":5000", "h:x", "h:99999999", "[::1", "10.0.0.0/99"],
)
def test_what_is_no_registry(text: str) -> None:
    with pytest.raises(ImageError) as caught:
        Mirrors.parse([], {}, [text])
    assert caught.value.id == "insecure-registry"


@pytest.mark.parametrize("url", ["http://m:99999999", "http://[::1", "https://m:x", "https://a b"])
def test_mirrors_that_are_no_addresses(url: str) -> None:
    with pytest.raises(ImageError) as caught:
        Mirrors.parse([f"h.example={url}"], {})
    assert caught.value.id == "mirror-syntax"


def test_a_mirror_without_tls_gets_no_password_unless_agreed() -> None:
    reference = Reference.parse("h.example/x/y")
    for agreed in ([], ["m"]):
        endpoint = Mirrors.parse(["http://m:1"], {}, agreed).endpoint(reference)
        assert endpoint.schemes == ("http",)
        assert endpoint.may_send_secrets("http://m:1/v2/") == bool(agreed)


@pytest.mark.parametrize(
    ("bricks", "name", "endpoint"),
    [
        ("r.example/a/b", "compos/init:v1", Endpoint("r.example", "a/b/init", SECURE)),
        ("r.example/a/b/", f"{HUB}/compos/init", Endpoint("r.example", "a/b/init", SECURE)),
        ("127.0.0.1:5000", "compos/init:v1", Endpoint("127.0.0.1:5000", "init", ("http", "https"))),
        ("r.example/a", "compos/x/y:v1", Endpoint("r.example", "a/x/y", SECURE)),
        (f"{HUB}/team", "compos/init:v1", Endpoint(HUB_HOSTS[0], "team/init", SECURE)),
        # Names that are not reserved have mirrors; reserved ones have none.
        ("r.example/a", "team/init:v1", Endpoint("m:1", "team/init", PLAIN)),
        ("r.example/a", "h.example/compos/init:v1", Endpoint("m:1", "compos/init", PLAIN)),
        ("", "compos/init:v1", Endpoint("m:1", "compos/init", PLAIN)),
    ],
)
def test_a_registry_of_bricks(bricks: str, name: str, endpoint: Endpoint) -> None:
    mirrors = Mirrors.parse(["http://m:1"], {}, bricks=bricks)
    assert mirrors.endpoint(Reference.parse(name)) == endpoint


@pytest.mark.parametrize(
    "text",
    ["bricks", "team/bricks", "https://h.example/x", "h.example/X", "h.example/../x", "u@h.example/x", "h.example/x:v1",
     "/", "h.example:x/y", f"h.example/{'x' * 250}"],
)  # fmt: skip
def test_what_is_no_registry_of_bricks(text: str) -> None:
    with pytest.raises(ImageError) as caught:
        Mirrors.parse([], {}, bricks=text)
    assert caught.value.id == "bricks-registry"


def test_bricks_have_no_mirror() -> None:
    with pytest.raises(ImageError) as caught:
        Mirrors.parse(["compos=http://m:1"], {})
    assert caught.value.id == "mirror-syntax"
    assert "--bricks" in (caught.value.hint or "")
