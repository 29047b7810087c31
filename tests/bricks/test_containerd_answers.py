"""What a server may answer to init's containerd client: each malformed answer is an error, and the
sanitizers have nothing to say."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.bricks.containerd_client import call
from tests.bricks.http2 import (
    OK,
    SETTINGS,
    STATUS_0,
    answer,
    frame,
    literal,
    refusal,
    serve_once,
    text,
)

FRENCH = 'task "web": fichier introuvable – voilà'
FRENCH_CODE = "48d1d54fe7c163fe6e292989398b6286a9361edee38e82a9fffdbfffcdffff814ee7351fffc7fffdaf"
PRINTABLE = "".join(map(chr, range(32, 127)))

PRINTABLE_CODE = (
    "53f8fe7febff2afc7fafebfbf9ff7f4b2ec002265a6dc75e7ee7dfffc83feffcffd4376f5fc187163c997367d1a756bd"
    "9b776fe1c797e73fdffdffff0ffe7ff917ffd1c6490b2cd39ba75a29a8f5f6b109b7bf8f3ebdfffeff9ffefff7"
)

STATUS_CODE = "9acac8b21234da8f"
"""What the Python package hpack makes of these and of `grpc-status`."""


@pytest.mark.parametrize(
    ("code", "text"),
    [  # RFC 7541, C.4 and C.6
        ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
        ("a8eb10649cbf", "no-cache"),
        ("25a849e95ba97d7f", "custom-key"),
        ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
        (PRINTABLE_CODE, PRINTABLE),
        (FRENCH_CODE, FRENCH),
        ("", ""),
        ("ffffffff", "malformed"),  # the end of string symbol
        ("f1e3c2e5f23a6ba0ab90f400", "malformed"),  # padding of zeros
        ("f1e3c2e5f23a6ba0ab90f4ffff", "malformed"),  # padding of more than seven bits
        ("ffc7", "malformed"),  # NUL: 1111111111000, then padding
    ],
)
def test_huffman_code(driver: Path, code: str, text: str) -> None:
    assert call(driver, "huffman", code) == text


HUFFMAN = (
    (b"\0" + text(bytes.fromhex(STATUS_CODE), huffman=True) + text(b"2"))  # without indexing
    + (
        b"\x10" + text(b"grpc-message") + text(bytes.fromhex(FRENCH_CODE), huffman=True)
    )  # never to be indexed
)
MALFORMED = "error: the server sent a malformed frame"
BAD_HEADERS = "error: the response's headers are malformed"
BAD_ANSWER = "error: the response is malformed"

ANSWERS: dict[str, tuple[bytes, str]] = {
    "a good answer": (SETTINGS + OK, "ok 7"),
    "with unknown frames and padding": (
        SETTINGS
        + frame(0x77, 0xFF, 0, b"?")
        + frame(6, 0, 0, b"12345678")
        + frame(2, 0, 1, b"12345")
        + frame(1, 4, 1, b"\x3f\xe1\x1f\x20\x88")
        + frame(0, 8, 1, b"\x03\0\0\0\0\2\x08\x07pad")
        + frame(1, 0x29, 1, b"\x02prior" + STATUS_0[:5] + b"..")
        + frame(9, 0, 1, b"")
        + frame(9, 4, 1, STATUS_0[5:]),
        "ok 7",
    ),
    "an answer in pieces": (
        SETTINGS
        + frame(1, 4, 1, b"\x88")
        + b"".join(frame(0, 0, 1, bytes([byte])) for byte in b"\0\0\0\0\2\x08\x07")
        + frame(1, 5, 1, STATUS_0),
        "ok 7",
    ),
    "leaving after this call": (
        SETTINGS + frame(7, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0") + OK,
        "ok 7",
    ),
    "the server's words": (refusal(b"5", b"no such%20thing%0A"), "error: no such thing"),
    "words in Huffman's code": (
        SETTINGS + frame(1, 4, 1, b"\x88") + frame(1, 5, 1, HUFFMAN),
        f"error: {FRENCH}",
    ),
    "words that are no code": (refusal(b"2", b"100% of %zz%a"), "error: 100% of %zz%a"),
    "words cut inside a code": (
        refusal(b"2", b"x" * 1021 + b"%a" + b"b" * 9),
        "error: " + "x" * 511,
    ),
    "words for a terminal": (refusal(b"2", b"%1b[2Jgone%00"), "error: ?[2Jgone?"),
    "no words": (refusal(b"14", b""), "error: the server refused the call without a reason"),
    "a status that is no number": (refusal(b"0x0", b""), "error: the server refused"),
    "an empty status": (refusal(b"", b""), "error: the server refused"),
    "silence": (b"", "error: the connection was lost"),
    "an oversized frame": (SETTINGS + frame(0, 0, 1, b"", length=1 << 23), MALFORMED),
    "a frame cut short": (
        SETTINGS + frame(0, 0, 1, b"abc", length=100),
        "error: the connection was lost",
    ),
    "padding longer than the frame": (SETTINGS + frame(0, 8, 1, b"\xff\0"), MALFORMED),
    "padding without its length": (SETTINGS + frame(0, 8, 1, b""), MALFORMED),
    "data on no stream": (SETTINGS + frame(0, 0, 0, b"abc"), MALFORMED),
    "settings of five bytes": (frame(4, 0, 0, b"12345") + OK, MALFORMED),
    "a window beyond 2^31": (frame(4, 0, 0, b"\0\4\xff\xff\xff\xff") + OK, MALFORMED),
    "a window grown beyond 2^31": (SETTINGS + frame(8, 0, 0, b"\x7f\xff\xff\xff") + OK, MALFORMED),
    "a window grown by nothing": (SETTINGS + frame(8, 0, 0, b"\0\0\0\0") + OK, MALFORMED),
    "a short ping": (SETTINGS + frame(6, 0, 0, b"1") + OK, MALFORMED),
    "a push": (SETTINGS + frame(5, 4, 1, b"\0\0\0\2\x88") + OK, MALFORMED),
    "a continuation of nothing": (SETTINGS + frame(9, 4, 1, STATUS_0), MALFORMED),
    "a continuation after the end": (
        SETTINGS + frame(1, 4, 1, b"\x88") + frame(9, 4, 1, b"\x88") + OK,
        MALFORMED,
    ),
    "a continuation of another stream": (
        SETTINGS + frame(1, 0, 1, b"") + frame(9, 4, 3, b"\x88") + OK,
        MALFORMED,
    ),
    "a frame inside a header block": (
        SETTINGS + frame(1, 0, 1, b"") + frame(6, 0, 0, b"12345678") + OK,
        MALFORMED,
    ),
    "headers without end": (
        SETTINGS + frame(1, 0, 1, b"") + frame(9, 0, 1, b"\x88" * 16384) * 5,
        "error: the response's headers are too long",
    ),
    "malformed headers": (SETTINGS + frame(1, 5, 1, b"\x00\xff\xff\xff\xff\xff\xff"), BAD_HEADERS),
    "a header string beyond the block": (
        SETTINGS + frame(1, 5, 1, b"\x00\x7f\x80\x01abc"),
        BAD_HEADERS,
    ),
    "the dynamic table": (SETTINGS + frame(1, 5, 1, b"\xbe"), BAD_HEADERS),
    "a name of the dynamic table": (SETTINGS + frame(1, 5, 1, b"\x7e\x010"), BAD_HEADERS),
    "entry 0": (SETTINGS + frame(1, 5, 1, b"\x80"), BAD_HEADERS),
    "a table size too late": (SETTINGS + frame(1, 5, 1, b"\x88\x20"), BAD_HEADERS),
    "NUL in a name": (SETTINGS + frame(1, 5, 1, literal(b"grpc-status\0", b"0")), BAD_HEADERS),
    "no status": (SETTINGS + frame(1, 5, 1, b"\x88"), "error: the server refused"),
    "a status and no message": (SETTINGS + frame(1, 5, 1, STATUS_0), BAD_ANSWER),
    "a bad message length": (
        SETTINGS + frame(0, 0, 1, b"\0\0\0\1\0") + frame(1, 5, 1, STATUS_0),
        BAD_ANSWER,
    ),
    "a compressed message": (
        SETTINGS + frame(0, 0, 1, b"\1\0\0\0\0") + frame(1, 5, 1, STATUS_0),
        BAD_ANSWER,
    ),
    "no pid": (SETTINGS + answer(b""), BAD_ANSWER),
    "a pid beyond any": (SETTINGS + answer(b"\x08\xff\xff\xff\xff\x0f"), BAD_ANSWER),
    "a message that is none": (SETTINGS + answer(b"\xff\xff\xff"), BAD_ANSWER),
    "a field beyond the message": (SETTINGS + answer(b"\x08\x07\x12\x7f"), BAD_ANSWER),
    "going away": (SETTINGS + frame(7, 0, 0, b"\0" * 8), "error: the server is going away"),
    "reset": (SETTINGS + frame(3, 0, 1, b"\0\0\0\1"), "error: the server aborted the call"),
    "a short reset": (SETTINGS + frame(3, 0, 1, b""), MALFORMED),
    "not HTTP/2 at all": (b"HTTP/1.1 400 Bad Request\r\n\r\n", MALFORMED),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_a_server_may_say(driver: Path, tmp_path: Path, case: str) -> None:
    data, expected = ANSWERS[case]
    thread = serve_once(tmp_path / "s", data)
    assert call(driver, tmp_path / "s", "test", "start", "one").startswith(expected)
    thread.join()


def mutated(data: bytes, seed: int) -> bytes:
    source = random.Random(seed)
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        changed[source.randrange(len(changed))] = source.randrange(256)
    return bytes(changed[: source.randint(1, len(changed))])


@pytest.mark.slow
def test_mutated_answers_never_break_it(driver: Path, tmp_path: Path) -> None:
    whole = [data for data, _ in ANSWERS.values() if len(data) < 1000]
    for number in range(100):
        path = tmp_path / str(number)
        thread = serve_once(path, mutated(whole[number % len(whole)] + OK, number))
        assert call(driver, path, "test", "start", "one").startswith(("ok ", "error: "))
        thread.join()
