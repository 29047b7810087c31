"""A cloud's metadata service for one connection, on standard input and output: QEMU starts it for
each that a guest opens (`guestfwd`). AWS's, version 2: what has no token is refused; and Azure's."""

import json
import os
import sys

VALUES = {
    "hostname": "ip-10-0-0-1",
    "instance-id": "i-guest",
    "public-keys/0/openssh-key": "ssh-ed25519 AAAA guest",
}

AZURE = {"compute": {"vmId": "v-guest", "name": "vm", "userData": "bm90IHRoaXM="}}


def answer(head: str) -> tuple[int, str]:
    request, _, headers = head.partition("\r\n")
    method, path, _ = request.split(" ")
    if method == "PUT":
        return 200, "SECRET"
    if path.startswith("/metadata/instance"):
        return 200, json.dumps(AZURE)
    if "X-aws-ec2-metadata-token: SECRET" not in headers:
        return 401, ""
    if path == "/latest/user-data":
        return 200, '{"from": {"content": "the cloud"}}'
    value = VALUES.get(path.removeprefix("/latest/meta-data/"))
    return (404, "") if value is None else (200, value)


def main() -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        head += os.read(0, 4096)
    status, text = answer(head.decode())
    reply = f"HTTP/1.1 {status} Some\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    sys.stdout.buffer.write(reply.encode())
    sys.stdout.buffer.flush()


main()
