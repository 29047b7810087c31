"""Every flag of LinuxKit's `pkg`, `cache` and `build` is taken, and where its users write them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import pytest

from compos.cli.main import cli, main

GLOBAL = "--cache --mirror --cert-file -q --quiet -v --verbose"
COMMON = (
    f"{GLOBAL} --build-yml --org --tag --hash --hash-commit --hash-path --force-dirty --dev "
    "--disable-cache --enable-cache --network --nonetwork --registry-creds"
)
PLACES = "--builders --builder-name --builder-image --builder-config"
BUILD = (
    f"{COMMON} {PLACES} --builder-restart --force --pull --nobuild --manifest --release --docker "
    "--platforms --skip-platforms --ignore-cached --precache-images --sbom-scanner --dockerfile "
    "--build-arg-file --progress --ssh --dry-run"
)
FLAGS = {
    "pkg build": f"{BUILD} --push",
    "pkg push": BUILD,
    "pkg show-tag": f"{COMMON} --canonical",
    "pkg manifest": f"{COMMON} --release",
    "pkg index": f"{COMMON} --release",
    "pkg remote-tag": f"{COMMON} --release",
    "pkg builder du": f"{COMMON} {PLACES} --platforms",
    "pkg builder prune": f"{COMMON} {PLACES} --platforms",
    "cache ls": GLOBAL,
    "cache rm": f"{GLOBAL} --published-only",
    "cache clean": f"{GLOBAL} --published-only",
    "cache pull": GLOBAL,
    "cache export": f"{GLOBAL} --outfile --format --platform --name",
    "cache import": GLOBAL,
    "cache push": f"{GLOBAL} --remote-name --with-arch-tags --override",
    "build": f"{GLOBAL} --name --dir --o -f --format --size --arch --pull --docker --no-sbom "
    "--decompress-kernel --sbom-current-time --sbom-output --dry-run --input-tar",
}
"""By verb, from LinuxKit's help."""


@pytest.mark.parametrize("verb", FLAGS)
def test_flags(verb: str) -> None:
    command: click.Command | None = cli
    for word in verb.split():
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), word)
    assert command
    known = {name for one in command.params for name in one.opts}
    assert set(FLAGS[verb].split()) - known == set()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "foo").mkdir()
    (tmp_path / "foo/build.yml").write_text("image: foo\n")
    (tmp_path / "foo/Dockerfile").write_text("FROM scratch\n")
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "x")):
        subprocess.run(["git", *names, "-C", tmp_path, *words], check=True)
    monkeypatch.setenv("USER", "joe")
    monkeypatch.setenv("COMPOS_CACHE", str(tmp_path / "store"))
    monkeypatch.delenv("LINUXKIT_PKG_ORG", raising=False)
    return tmp_path / "foo"


SHOWN = {
    "pkg show-tag --hash h": "linuxkit/foo:h",
    "pkg --hash h show-tag": "linuxkit/foo:h",
    "--verbose 2 pkg --org build --hash=h show-tag --canonical": "docker.io/build/foo:h",
    "pkg -v 0 --dev=true show-tag --nonetwork": "joe/foo:dev",
    "-q pkg show-tag --cache /nowhere --dev=false --hash h --tag v-{{.Hash}}": "linuxkit/foo:v-h",
    "pkg show-tag --disable-cache --registry-creds a=b --network --hash h --tag=": "linuxkit/foo:h",
}


@pytest.mark.parametrize("words", SHOWN)
def test_where_flags_stand(words: str, package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(), str(package)]) == 0
    assert capsys.readouterr().out == f"{SHOWN[words]}\n"


def test_variables(
    package: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The organisation of the environment beats the user's, and the flag beats both."""
    monkeypatch.setenv("LINUXKIT_PKG_ORG", "team")
    for flags, name in (
        (["--hash", "h"], "team/foo:h"),
        (["--dev"], "team/foo:dev"),
        (["--dev", "--org", "me", "--hash", "h"], "me/foo:h"),
    ):
        assert main(["pkg", "show-tag", *flags, str(package)]) == 0
        assert capsys.readouterr().out == f"{name}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("pkg --org x", "No such option"),
        ("pkg --no-such-flag show-tag --hash h .", "No such option"),
        ("pkg shwo-tag .", "No such command"),
        ("pkg build --network --nonetwork .", "cannot be combined"),
        ("pkg build --enable-cache --disable-cache .", "cannot be combined"),
        ("cache -v 7 ls", "is not in the range"),
        ("cache ls --quiet=maybe", "--quiet is true or false"),
    ],
)
def test_mistakes(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 1
    assert said.lower() in capsys.readouterr().err.lower()
