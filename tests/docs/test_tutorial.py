"""Tutorials as steps. `tests/boot/test_tutorials.py` takes them."""

from __future__ import annotations

import re

import pytest

from tests.docs.tutorial import TUTORIALS, Commands, Console, File, Output, pattern, steps

PAGE = """\
# A page

```yaml
# folder/os.yml
kernel: {}
```

Then `compos build`:

```sh
compos build folder/os.yml
compos run qemu os
```

```text
Create … outputs
```

    # not a step

```console
# svc ps
nginx … running
# poweroff
```
"""


def test_steps() -> None:
    assert steps(PAGE) == [
        File("folder/os.yml", "# folder/os.yml\nkernel: {}\n"),
        Commands("compos build folder/os.yml\ncompos run qemu os\n"),
        Output("Create … outputs\n"),
        Console("svc ps", "nginx … running\n"),
        Console("poweroff", ""),
    ]


def test_a_block_that_nobody_would_run_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a file nor a command"):
        steps("```yaml\nkernel: {}\n```\n")


@pytest.mark.parametrize(
    ("shown", "printed", "matches"),
    [
        ("nginx running", "nginx     running\n", True),
        ("nginx … running", "nginx  12  running", True),
        ("nginx … running", "nginx running", True),
        ("a…z", "a b z", True),
        ("one\n…\nfour", "one\ntwo\nthree\nfour", True),
        ("nginx running", "nginx stopped", False),
        ("(2 of 2)", "(1 of 2)", False),
    ],
)
def test_what_a_page_shows(shown: str, printed: str, matches: bool) -> None:
    assert bool(re.search(pattern(shown), printed)) == matches


def test_every_tutorial_has_steps_and_is_listed() -> None:
    """A page that the index does not name would be found by nobody."""
    index = (TUTORIALS / "README.md").read_text()
    for page in TUTORIALS.glob("*.md"):
        if page.name != "README.md":
            assert len(steps(page.read_text())) > 5, page.name
            assert f"({page.name})" in index
