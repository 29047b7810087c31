"""LinuxKit's examples: the page has every row of the table, with what the table says is seen; the
script finds images in a YAML, and recipes that stand for them."""

from __future__ import annotations

import re
import socket
import threading

import pytest
import yaml

from scripts.linuxkit_examples import (
    EXAMPLES,
    NOT_NOW,
    PAGE,
    STAND_INS,
    Example,
    answer_at,
    images,
    sights,
    stand_in,
)

ROWS = {
    cells[0]: cells[1:]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ")
    for cells in [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]]
}


def test_the_page_has_the_tables_rows() -> None:
    assert [*ROWS] == ["example", *(example.name for example in EXAMPLES)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_a_row_says_what_is_looked_for(example: Example) -> None:
    """A row that is older than the table says something else."""
    built, boots, said = ROWS[example.name]
    if built == "yes" and boots == "yes":
        assert said == sights(example).replace("|", "\\|")
    elif built == "yes" and boots == "not tried":
        assert said == (example.why or NOT_NOW)
    else:
        assert "**no**" in (built, boots), "a failure is marked"
        assert said, "and has a reason"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_an_example_is_seen_or_has_a_reason(example: Example) -> None:
    assert bool(sights(example)) != bool(example.why)
    assert bool(example.port) == bool(example.says)


def test_images_of_a_yaml() -> None:
    document = yaml.safe_load(
        """
        kernel: {image: "linuxkit/kernel:6.6.71"}
        init: ["linuxkit/init:1"]
        services: [{name: web, image: "nginx:alpine"}]
        volumes: [{name: data, image: "alpine:3.19"}]
        trust: {image: ["linuxkit/kernel"]}
        """
    )
    assert [*images(document)] == [
        *("linuxkit/kernel:6.6.71", "linuxkit/init:1", "nginx:alpine", "alpine:3.19")
    ]


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_is_a_recipe_under_the_images_name(name: str) -> None:
    recipe = yaml.safe_load(stand_in(f"{name}:1.2-alpine"))
    assert (recipe["image"], recipe["org"], recipe["tag"]) == (name, "library", "1.2-alpine")


@pytest.mark.parametrize("image", ["linuxkit/init:1", "acme/nginx:1", "postgres:17"])
def test_nothing_stands_in_for_other_images(image: str) -> None:
    assert stand_in(image) == ""


@pytest.mark.slow
def test_an_answer_at_a_port_is_waited_for() -> None:
    """The first connection is dropped, as QEMU does before the guest listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in (b"", b"HTTP/1.1 200 OK\r\n\r\n<h1>here</h1>"):
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        answer_at(server.getsockname()[1], "<h1>")
        thread.join()
