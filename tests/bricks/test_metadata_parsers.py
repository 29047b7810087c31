"""The parsers of the metadata brick, against those of Python, over tables of documents and random
changes of them: what ours accepts means the same there. Built with sanitizers."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import xml.parsers.expat
import zlib
from email import message_from_bytes, policy
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bricks.compiler import compile_brick
from tests.bricks.network_documents import COMPOSED, OPENSTACK, VERSION_1, VERSION_2

CHANGES = 1000
"""Random changes of each parser's documents."""


@cache
def _driver() -> str:
    return str(compile_brick("metadata", driver="parser"))


def parsed(parser: str, documents: list[bytes], folder: Path | None = None) -> list[str]:
    """One line for each document; `folder` is the working directory."""
    data = b"".join(b"%d\n%s" % (len(document), document) for document in documents)
    done = subprocess.run(
        [_driver(), parser], input=data, capture_output=True, check=False, timeout=100, cwd=folder
    )
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode("latin-1").split("\n")[:-1]
    assert len(lines) == len(documents)
    return lines


def loaded(line: str) -> Any:
    """What the driver prints, whose characters are bytes of UTF-8."""
    return json.loads(json.dumps(json.loads(line), ensure_ascii=False).encode("latin-1"))


def changed(documents: list[bytes], seed: int, pieces: bytes) -> list[bytes]:
    """Each with a few bytes changed, removed, inserted or doubled."""
    chance = random.Random(seed)
    made = []
    for _ in range(CHANGES):
        document = bytearray(chance.choice(documents))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(document) + 1)
            kind = chance.randrange(4)
            if kind == 0:
                document[at : at + 1] = bytes([chance.choice(pieces)])
            elif kind == 1:
                del document[at : at + chance.randint(1, 9)]
            elif kind == 2:
                document[at:at] = bytes([chance.choice(pieces)])
            else:
                document[at:at] = document[at : at + chance.randint(1, 30)]
        made.append(bytes(document))
    return made


YAML = [
    "a: b",
    "---\na: b",
    "a: [b, c]",
    "a: {b: c, d: [e, {f: g}]}",
    "a: []\nb: {}",
    "a: [b,\n  c,  # a comment\n  'd, e', \"f]\\n\",]",
    "a: [2001:db8::1/64, 10.0.0.1/8, x:y]",
    '{"a": {"b": [1, true, "c d"]}, "e": ""}',
    "a:\n- [sh, -c, 'x: y']\n- {path: /a, content: b}",
    "a: >\n  b\n  c\n\n  d\n    e\n   f\n  g\n\nh: i",
    "a: >-\n  b\n  c\n",
    "a: >+\n  b\n\n  c\n\n",
    "a: |\n  b\n\n   c # no comment\n  \td\nd: |-\n    x\n\n\ne: |+\n  y\n\n",
    "a: |\n\n  b\n",
    "a: b\n  c\n  d  # end\ne:\n- f\n  g\n- h",
    "a:\n-\n  b: c\n- - d\n  - e\n-\n- f: g\n  h: i",
    "\"a b\": c\n'd': e",
    "a: ssh-rsa\n  AAAA me@there\nb: x#y",
    "a:\n  - b: |\n      c\n    d: e\n  - f",
    "a:\r\n  b: c\r\n  d: |\r\n    e\r\n    f\r\n",
    "runcmd:\n - ls -l /\n - [ wget, 'http://x/y', -O, /z ]\n - ['echo', \"it''s\"]",
    (
        "network:\n  version: 2\n  ethernets:\n    id0:\n      match: {macaddress: '02:00:00:00:00:01'}\n"
        "      addresses: [10.0.0.2/24, '2001:db8::2/64']\n      routes:\n      - {to: default, via: 10.0.0.1}"
    ),
    '{"a": "\\u003cb\\u003e \\u00e9\\u20ac \\x41\\b"}',
    "a : b\n'c'  :\n- d : e",
    "a: [b\n  c  d\n   e, f\n  , g]\nh: {i: j\n  k}",
    "a: ''\nb: \"\"\nc: '''x'''\nd: \"\\\"\\t\\\\\"",
    "",
    "# nothing",
]


def meaning(text: str) -> Any:
    """PyYAML's, with the scalars as strings."""
    value = yaml.load(text, yaml.BaseLoader)
    return {} if value is None or value == "" else value


@pytest.mark.parametrize("text", YAML)
def test_yaml_means_what_pyyaml_says(text: str) -> None:
    (line,) = parsed("yaml", [text.encode()])
    assert loaded(line) == meaning(text.replace("\r\n", "\n"))


def test_changed_yaml_means_the_same_or_is_refused() -> None:
    documents = changed([text.encode() for text in YAML], 1, b" \n-:[]{},'\"#|>ab&*!?\t\\")
    accepted = 0
    for document, line in zip(documents, parsed("yaml", documents), strict=True):
        if line.startswith("refused: "):
            continue
        accepted += 1
        try:
            wanted = meaning(document.decode())
        except yaml.YAMLError as error:
            pytest.fail(f"{document!r} is accepted as {line}, and is no YAML: {error}")
        assert loaded(line) == wanted, repr(document)
    assert accepted > CHANGES // 5


PLAIN = [b"", b"a", b"abc" * 5000, bytes(range(256)) * 40, random.Random(2).randbytes(3000)]


def compressed(data: bytes, level: int, strategy: int) -> bytes:
    """As gzip writes it: stored, with fixed and with dynamic codes."""
    maker = zlib.compressobj(level, zlib.DEFLATED, 31, 9, strategy)
    return maker.compress(data) + maker.flush()


GZIP = [
    compressed(data, level, strategy)
    for data in PLAIN
    for level, strategy in ((0, 0), (1, 0), (9, 0), (6, zlib.Z_FIXED), (6, zlib.Z_HUFFMAN_ONLY))
]


def decompressed(data: bytes) -> bytes:
    """All members of a file; what follows them is nobody's."""
    plain = b""
    while data.startswith(b"\x1f\x8b\x08"):
        maker = zlib.decompressobj(31)
        plain += maker.decompress(data)
        assert maker.eof
        data = maker.unused_data
    return plain


def test_gzip_is_decompressed() -> None:
    named = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x02\x00xxname\x00comment\x00xx" + GZIP[6][10:]
    documents = [*GZIP, named, GZIP[6] + GZIP[1], GZIP[6] + b"rest"]
    lines = [json.loads(line).encode("latin-1") for line in parsed("gzip", documents)]
    assert lines[: len(GZIP)] == [data for data in PLAIN for _ in range(5)]
    assert lines[len(GZIP) :] == [b"a", b"a", b"a"]
    bomb = gzip.compress(bytes(1 << 25))
    (line,) = parsed("gzip", [bomb])
    assert line == "refused: decompressed, it is longer than 1048576 bytes"


@pytest.mark.slow
def test_changed_gzip_means_the_same_or_is_refused() -> None:
    small = [data for data in GZIP if len(data) < 12000]
    documents = changed(small, 3, bytes(range(256)))
    refused = 0
    for document, line in zip(documents, parsed("gzip", documents), strict=True):
        if line.startswith("refused: "):
            refused += 1
            continue
        assert json.loads(line).encode("latin-1") == decompressed(document), repr(document)
    assert refused > CHANGES // 2


def message() -> bytes:
    whole = MIMEMultipart(boundary="=====0123456789=====")
    whole.attach(MIMEText("#cloud-config\nhostname: a\n", "cloud-config"))
    whole.attach(MIMEText("#!/bin/sh\necho caf\u00e9\n", "x-shellscript"))
    whole.attach(MIMEText("plain", "plain", "us-ascii"))
    return whole.as_bytes()


MIME = [
    message(),
    message().replace(b"\n", b"\r\n"),
    b"From me\n" + message(),
    (
        b'MIME-Version: 1.0\nContent-Type: Multipart/Mixed;\n boundary="x y"\n\nbefore\n--x y\n\none'
        b"\n--x y  \nContent-Type: text/x; a=b\n\ntwo\n\n--x y--\nafter"
    ),
    b"Content-Type: text/cloud-config\nMIME-Version: 1.0\n\na: b",
]


def email_meaning(data: bytes) -> list[Any]:
    """Python's, as the driver prints it."""
    found = message_from_bytes(data.replace(b"\r\n", b"\n"), policy=policy.compat32)
    parts: list[Any] = [found.get_content_type()]
    for part in list(found.walk())[1:]:
        encoded = (part.get("Content-Transfer-Encoding") or "").lower() == "base64"
        parts.append([part.get_content_type(), encoded, part.get_payload()])
    return parts


@pytest.mark.parametrize("data", MIME, ids=range(len(MIME)))
def test_mime_means_what_python_says(data: bytes) -> None:
    (line,) = parsed("mime", [data])
    ours = json.loads(line.replace("\\u000d\\u000a", "\\u000a"))
    assert ours == email_meaning(data)


def test_changed_mime_is_read_or_refused() -> None:
    lines = parsed("mime", changed(MIME, 4, b'\n\r:;="- \0/\xff'))
    assert any(line.startswith("refused: ") for line in lines)


XML = [
    """<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment --><Environment xmlns="urn:x" xmlns:oe='urn:y' oe:id="1 &lt; 2">
  <PropertySection><Property oe:key="user-data" oe:value="a&#10;b&#x41;&amp;"/></PropertySection>
  <wa:P xmlns:wa="urn:z"><HostName>caf\u00e9 &quot;x&quot;</HostName><E></E ><!-- - --></wa:P>
  <![CDATA[<not> &an; element]]>
</Environment>
<!-- the end -->
""",
    "<a/>",
    "\ufeff<a b='\"' c=\"'\">\U0001f600&#x1f600;</a>",
    "<a><b/><b></b>text<c d='e'/></a>",
]


def expat_meaning(data: bytes) -> list[Any]:
    """Events of Python's parser, as the driver prints them; names without their prefixes."""
    events: list[Any] = []

    def local(name: str) -> str:
        return name.partition(":")[2] or name

    def begin(name: str, attributes: list[str]) -> None:
        pairs = zip(map(local, attributes[::2]), attributes[1::2], strict=True)
        events.append([1, local(name), *(part for pair in pairs for part in pair)])

    def text(data: str) -> None:
        if events and events[-1][0] == 2:
            events[-1][1] += data
        else:
            events.append([2, data])

    parser = xml.parsers.expat.ParserCreate()
    parser.ordered_attributes = True
    parser.StartElementHandler = begin
    parser.EndElementHandler = lambda name: events.append([3, local(name)])
    parser.CharacterDataHandler = text
    parser.Parse(data, True)
    return events


def joined(events: list[Any]) -> list[Any]:
    """Ours, with the text between two elements in one piece."""
    found: list[Any] = []
    for event in events:
        if event[0] == 2 and found and found[-1][0] == 2:
            found[-1][1] += event[1]
        elif event[0] != 2 or event[1]:
            found.append(event)
    return found


@pytest.mark.parametrize("text", XML)
def test_xml_means_what_expat_says(text: str) -> None:
    (line,) = parsed("xml", [text.encode()])
    *events, depth = loaded(line)
    assert (depth, joined(events)) == (0, expat_meaning(text.encode()))


def test_changed_xml_is_read_or_refused() -> None:
    documents = changed([text.encode() for text in XML], 5, b"<>/&;\"'=!-[]# \0\xffax")
    refused = ["refused: XML: " in line for line in parsed("xml", documents)]
    assert CHANGES // 4 < sum(refused) < CHANGES


@pytest.mark.parametrize("form", COMPOSED)
def test_bonds_and_vlans(form: str) -> None:
    """Kind, id, name, members, link, number, options by IFLA_BOND_MODE (1), MIIMON (3) and
    AD_LACP_RATE (21)."""
    (line,) = parsed("network", [COMPOSED[form].encode()])
    devices = {device[1]: device for device in json.loads(line)}
    stack = form == "OpenStack"
    bond, vlan = ("bond", "lan") if stack else ("bond0", "bond0.7")
    options = {"1": 4, "3": 100, **({} if stack else {"21": 1})}
    assert devices[bond] == ["bond", bond, "bond0", ["one", "two"], "", -1, options]
    assert devices[vlan] == ["vlan", vlan, "" if stack else vlan, [], bond, 7, {}]
    assert [devices[name][0] for name in ("one", "two")] == ["physical", "physical"]


def test_changed_network_configuration_is_read_or_refused() -> None:
    texts = [VERSION_1, VERSION_2.replace("network:", "x:"), json.dumps(OPENSTACK, indent=1)]
    documents = changed([text.encode() for text in texts], 6, b"{}[]:,' \n-0129./aZ")
    refused = ["refused: " in line for line in parsed("network", documents)]
    assert CHANGES // 4 < sum(refused) < CHANGES


USER_DATA = [
    (
        b"#cloud-config\nusers:\n- name: me\n  groups: [a, b]\n  passwd: $6$abc$def0123\n"
        b"  lock_passwd: false\n  ssh_authorized_keys: [ssh-rsa A]\ngroups: [c, {d: [me]}]\n"
    ),
    (
        b"#cloud-config\nfqdn: b.c\nruncmd:\n- [a, b]\n- 'x y'\nwrite_files:\n"
        b"- {path: /a/b, content: eA==, encoding: b64, permissions: '0600'}\n"
    ),
    MIME[0],
    gzip.compress(b"#cloud-config\nbootcmd: [a]\n"),
    b'{"a": {"content": "x", "perm": "0600"}, "b": {"entries": {"../c": {"content": "y"}}}}',
]


@pytest.mark.root
def test_changed_user_data_is_carried_out_in_its_folder(tmp_path: Path) -> None:
    """As root, whom no permission stops; nothing appears beside the folder or changes its owner."""
    folder = tmp_path / "config"
    folder.mkdir()
    parsed("user_data", changed(USER_DATA, 7, b"\n -:[]{},'\"#|>a0/.=&\0"), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["config"]
    assert (folder / "users" / "passwd").exists()
    assert [path for path in folder.rglob("*") if path.is_symlink()] == []


MANY = {
    "xml": [
        b"<a>" * 1000,
        b"<a " + b"b='c' " * 1000 + b"/>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        b"<a>&b;</a>",
        b"<a>&#0;</a>",
        b"<a>&#x110000;</a>",
        b"<a>&#99999999999999999999;</a>",
        b"<a></b>",
        b"<a/><a/>",
        b"<a/>x",
        b"x<a/>",
        b"",
        b"<a",
        b"<a b",
        b"<a b='",
        b"<a b='<'/>",
        b"<a b=c/>",
        b"<!-- ",
        b"<!-- -->" * 2000,
        b"<a><![CDATA[x",
        b"<a>\1</a>",
    ],
    "yaml": [
        b"--- : b",
        b"... : b",
        b"a: " + b"[" * 100000,
        b"{" * 100000,
        b"a: [" + b"b," * 100000,
        b"a: [[b]" * 2000,
    ],
    "mime": [
        b"MIME-Version: 1\nContent-Type: multipart/x; boundary=" + b"b" * 100,
        b"MIME-Version: 1\nContent-Type: " + b"t" * 500,
        b"MIME-Version: 1\nX: " + b"\n y" * 10000,
        b"MIME-Version: 1\nContent-Transfer-Encoding: quoted-printable\n\n",
    ],
    "gzip": [b"\x1f\x8b\x08", b"\x1f\x8b\x08\x1e" + bytes(8), GZIP[0][:-1], GZIP[12][:30]],
}


@pytest.mark.parametrize("parser", MANY)
def test_what_is_refused(parser: str) -> None:
    lines = parsed(parser, MANY[parser])
    assert [line for line in lines if "refused: " not in line] == []
