"""A lock, and builds of exactly what it names: the same bytes on other machines and other days, or
an error that says what is missing."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.image.digest import digest_of
from compos.image.json_document import canonical_json
from compos.package.lock.document import lock_text, read_lock
from tests.image.conftest import StartRegistry
from tests.package.lock.team import Machine, Team
from tests.registry import FakeRegistry

pytestmark = pytest.mark.slow

NOWHERE = ("--debian-mirror", "http://127.0.0.1:1/debian")
"""A mirror that does not answer; the last one named counts."""


def day_after(machine: Machine) -> str:
    """As archives of the past call the day after the lock's index was signed."""
    (built,) = (one.built for one in read_lock(machine.lock).images.values() if one.built)
    (image,) = built.values()
    signed = datetime.strptime(image.choice.dates["trixie"], "%Y-%m-%dT%H:%M:%SZ")
    return (signed + timedelta(days=1)).strftime("%Y%m%dT%H%M%SZ")


def test_the_same_bytes_on_another_machine_after_everything_has_moved_on(team: Team) -> None:
    first = team.machine("first")
    assert first.run("lock") == 0
    built = first.build("--locked")
    assert built
    team.keep_snapshot(day_after(first))
    team.move_on()
    team.publish("two")
    second = team.machine("another", lock=first)
    team.server.requests.clear()
    team.registry.requests.clear()
    assert second.build("--locked", "--debian-snapshot", team.server.url) == built
    dated = f"/archive/debian/{day_after(first)}/pool/main/lib_1.deb"
    # No index: two packages, one of them where it still is.
    assert sorted(team.server.paths()) == [
        dated,
        "/debian/pool/main/lib_1.deb",
        "/debian/pool/main/tool_1.deb",
    ]
    assert not team.registry.asked("/manifests/1")
    third = team.machine("newest")
    assert third.build() not in ("", built)


def test_what_the_store_has_is_not_asked_for(team: Team) -> None:
    machine = team.machine("one")
    machine.run("lock")
    built = machine.build("--locked")
    team.server.requests.clear()
    team.registry.requests.clear()
    assert machine.build("--locked", *NOWHERE) == built
    assert machine.build("--lock", str(machine.lock)) == built
    assert (team.server.requests, team.registry.requests) == ([], [])


def test_a_lock_builds_what_a_build_without_it_does(team: Team) -> None:
    machine = team.machine("one")
    without = machine.build()
    machine.run("lock")
    assert machine.build("--locked") == without


def test_a_package_that_nobody_has(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    first = team.machine("first")
    first.run("lock")
    team.move_on()
    second = team.machine("second", lock=first)
    assert second.build("--locked") == ""
    said = capsys.readouterr().err
    assert "[lock-package-missing]" in said
    assert "lib 1 (amd64)" in said
    assert "--debian-snapshot" in said
    assert second.lock.read_text() == first.lock.read_text()


def test_another_file_in_the_packages_place(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    first = team.machine("first")
    first.run("lock")
    path = team.debian.root / "pool/main/lib_1.deb"
    path.write_bytes(bytes(len(path.read_bytes())))
    assert team.machine("second", lock=first).build("--locked") == ""
    assert "[lock-package-missing]" in capsys.readouterr().err


def test_a_registry_has_all_parts(team: Team, docker_registry: StartRegistry) -> None:
    repository = f"{docker_registry()}/team/parts"
    first = team.machine("first")
    assert first.run("lock", "--mirror-to", repository) == 0
    built = first.build("--locked")
    second = team.machine("second", lock=first)
    # Neither Debian nor the image's registry answers any more.
    team.registry.documents.clear()
    team.registry.blobs.clear()
    assert second.build("--locked", *NOWHERE) == built
    # Without the brick's image, its packages are enough.
    document = json.loads(first.lock.read_text())
    assert document["mirror"] == repository
    del document["mirror"]
    third = team.machine("third")
    rewrite(third.lock, document)
    assert third.build("--locked", "--mirror-from", repository, *NOWHERE) == built
    assert third.build("--locked", "--mirror-from", f"{repository}/other") == built


def test_packages_of_a_registry_make_the_brick(team: Team, docker_registry: StartRegistry) -> None:
    """As when the built image was removed there, or its registry does not keep it."""
    repository = f"{docker_registry()}/team/parts"
    first = team.machine("first")
    first.run("lock", "--mirror-to", repository)
    built = first.build("--locked")
    (image,) = (one.built for one in read_lock(first.lock).images.values() if one.built)
    digest = next(iter(image.values())).manifest.digest
    for link in (team.folder / "registry").rglob(f"_layers/sha256/{digest[7:]}/link"):
        link.unlink()
    second = team.machine("second", lock=first)
    assert second.build("--locked", *NOWHERE) == built


def rewrite(path: Path, document: dict[str, object]) -> None:
    """Write `document` as a lock whose digest is right: what an attacker would do."""
    document.pop("digest", None)
    document["digest"] = digest_of(canonical_json(document))
    path.write_text(json.dumps(document, indent=2))


def test_an_existing_lock_stays(team: Team) -> None:
    machine = team.machine("one")
    machine.run("lock")
    before = machine.lock.read_text()
    assert lock_text(read_lock(machine.lock)) == before
    team.move_on()
    team.publish("two")
    team.server.requests.clear()
    team.registry.requests.clear()
    assert machine.run("lock") == 0
    assert machine.lock.read_text() == before
    # On a machine that has nothing, too: nothing is built for it.
    second = team.machine("second", lock=machine)
    assert second.run("lock", *NOWHERE) == 0
    assert second.lock.read_text() == before
    assert (team.server.requests, team.registry.requests) == ([], [])


def test_a_lock_is_written_whole_or_not_at_all(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = team.machine("one")
    assert machine.run("lock") == 0
    assert sorted(path.name for path in machine.folder.iterdir()) == ["os.lock", "os.yml", "tool"]
    assert machine.lock.stat().st_mode & 0o777 == 0o644
    assert machine.run("lock", "--lock", str(machine.folder / "none/os.lock")) == 0
    (machine.folder / "file").write_text("")
    assert machine.run("lock", "--lock", str(machine.folder / "file/os.lock")) == 1
    assert "[lock-unwritable]" in capsys.readouterr().err
    # Where nothing can be written over.
    (machine.folder / "taken").mkdir()
    assert machine.run("lock", "--lock", str(machine.folder / "taken")) == 1
    assert "[lock-unreadable]" in capsys.readouterr().err
    assert [*(machine.folder / "taken").iterdir()] == []


def test_update_one_or_all(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    machine = team.machine("one")
    machine.run("lock")
    before = json.loads(machine.lock.read_text())
    team.move_on()
    team.publish("two")
    web = f"{team.registry.host}/web:1"
    assert machine.run("lock", "--update=test/tool") == 0
    one = json.loads(machine.lock.read_text())
    assert one["images"][web] == before["images"][web]
    assert "trixie-updates/lib_2_amd64" in one["debian"]["packages"]
    assert machine.run("lock", "--update") == 0
    both = json.loads(machine.lock.read_text())
    assert both["images"][web] != before["images"][web]
    assert both["debian"] == one["debian"]
    assert machine.build("--locked")
    assert machine.run("lock", "--update=tol") == 1
    assert "[lock-name]" in capsys.readouterr().err


def test_check(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    machine = team.machine("one")
    assert machine.run("lock", "--check") == 1
    assert "[lock-missing]" in capsys.readouterr().err
    machine.run("lock")
    assert machine.run("lock", "--check") == 0
    team.publish("two")
    team.move_on()
    capsys.readouterr()
    assert machine.run("lock", "--check") == 100
    said = capsys.readouterr().out
    assert f"{team.registry.host}/web:1 linux/amd64\n  the registry has sha256:" in said
    assert "docker.io/test/tool:v1 linux/amd64\n  lib 1 -> lib 2 trixie-updates\n" in said
    assert machine.run("lock", "--check", "--security") == 0
    team.debian.beside("security")
    suite = team.debian.beside("security")
    suite.add_deb("lib", {"usr/lib/data": b"3"}, "3")
    suite.write()
    capsys.readouterr()
    assert machine.run("lock", "--check", "--security", "--json") == 100
    (change,) = json.loads(capsys.readouterr().out)["changes"]
    assert (change["name"], change["security"]) == ("docker.io/test/tool:v1", True)
    assert change["packages"][0]["now"] == "3"


def test_check_sees_what_the_system_names(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    machine = team.machine("one")
    machine.run("lock")
    (machine.folder / "tool/tool.conf").write_text("other")
    machine.system(f"init: ['@pkg:tool', '{team.registry.host}/web:2']\n")
    capsys.readouterr()
    assert machine.run("lock", "--check") == 100
    said = capsys.readouterr().out
    for text in ("web:1 linux/amd64\n  not in the system any more", "web:2 linux/amd64\n  not loc"):
        assert text in said
    assert "tool:v1 linux/amd64\n  different recipe" in said


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda one: (one.folder / "tool/tool.conf").write_text("other"), "lock-recipe"),
        (lambda one: one.system("init: ['@pkg:tool', 'other/image:1']"), "lock-entry-missing"),
        (lambda one: one.lock.unlink(), "lock-missing"),
    ],
)
def test_a_lock_for_something_else(
    team: Team, capsys: pytest.CaptureFixture[str], change: object, expected: str
) -> None:
    machine = team.machine("one")
    machine.run("lock")
    assert machine.build("--locked")
    assert callable(change)
    change(machine)
    capsys.readouterr()
    assert machine.build("--locked") == ""
    assert f"[{expected}]" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["digest", "attestations"])
def test_a_brick_that_comes_out_otherwise(
    team: Team, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    machine = team.machine("one")
    machine.run("lock")
    document = json.loads(machine.lock.read_text())
    image = document["images"]["docker.io/test/tool:v1"]["platforms"]["linux/amd64"]
    place = image["attestations"][0] if key == "attestations" else image
    place["digest"] = f"sha256:{'0' * 64}"
    rewrite(machine.lock, document)
    capsys.readouterr()
    assert machine.build("--locked") == ""
    assert "[lock-brick-differs]" in capsys.readouterr().err


def test_another_version_of_compos(
    team: Team, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bricks have another SBOM: they are locked anew, of the packages that are locked."""
    machine = team.machine("one")
    machine.run("lock")
    document = json.loads(machine.lock.read_text())
    document["tool"] = "0.0.1"
    image = document["images"]["docker.io/test/tool:v1"]["platforms"]["linux/amd64"]
    (sbom,) = image["attestations"]
    right, sbom["digest"] = sbom["digest"], f"sha256:{'0' * 64}"
    rewrite(machine.lock, document)
    capsys.readouterr()
    assert machine.build("--locked") == ""
    said = capsys.readouterr().err
    assert "written by compos 0.0.1" in said
    assert machine.run("lock", "--check") == 100
    team.move_on()
    assert machine.run("lock") == 0
    made = json.loads(machine.lock.read_text())
    image = made["images"]["docker.io/test/tool:v1"]["platforms"]["linux/amd64"]
    assert image["attestations"][0]["digest"] == right
    assert "trixie/lib_1_amd64" in image["packages"]


def test_another_platform_joins(team: Team) -> None:
    machine = team.machine("one")
    machine.system(f"init: ['{team.registry.host}/web:1']\n")
    machine.run("lock", "--arch", "amd64")
    team.publish("two")
    assert machine.run("lock", "--arch", "arm64") == 0
    (image,) = json.loads(machine.lock.read_text())["images"].values()
    assert [*image["platforms"]] == ["linux/amd64", "linux/arm64"]
    for architecture in ("amd64", "arm64"):
        assert machine.build("--locked", "--arch", architecture)
        assert f"one linux/{architecture}".encode() in (machine.folder / "os.tar").read_bytes()


def test_a_list_of_platforms(team: Team, docker_registry: StartRegistry) -> None:
    """And a registry of parts gets those of another run, too, from the earlier one if need be."""
    host = docker_registry()
    machine = team.machine("one")
    machine.system(f"init: ['{team.registry.host}/web:1']\n")
    assert machine.run("lock", "--arch", "amd64, arm64", "--mirror-to", f"{host}/one") == 0
    (image,) = json.loads(machine.lock.read_text())["images"].values()
    assert [*image["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert machine.run("lock", "--check", "--arch", "amd64,arm64") == 0
    other = team.machine("other", lock=machine)
    other.system((machine.folder / "os.yml").read_text())
    team.registry.documents.clear()
    team.registry.blobs.clear()
    assert other.run("lock", "--mirror-to", f"{host}/two") == 0
    third = team.machine("third", lock=other)
    third.system((machine.folder / "os.yml").read_text())
    assert json.loads(third.lock.read_text())["mirror"] == f"{host}/two"
    assert third.build("--locked", "--arch", "arm64")


def test_a_registry_of_parts_that_lies(
    team: Team, capsys: pytest.CaptureFixture[str], docker_registry: StartRegistry
) -> None:
    """Other bytes in a part's place, more, fewer, an error: other sources help, or nothing is
    built."""
    first = team.machine("first")
    first.run("lock")
    built = first.build("--locked")
    lock = read_lock(first.lock)
    with FakeRegistry() as liar:
        wanted = [f"sha256:{package.sha256}" for package in lock.packages]
        for locked in lock.images.values():
            wanted += [one.manifest.digest for one in locked.built.values()]
        for digest in wanted:
            liar.blobs[digest] = b"x" * 500
        package = next(iter(lock.packages))
        liar.blobs[f"sha256:{package.sha256}"] = bytes(package.size)
        mirror = ("--mirror-from", f"{liar.host}/parts")
        second = team.machine("second", lock=first)
        assert second.build("--locked", *mirror) == built
        assert "does not help" in capsys.readouterr().err
        third = team.machine("third", lock=first)
        assert third.build("--locked", *mirror, *NOWHERE) == ""
        said = capsys.readouterr().err
    assert "[lock-package-missing]" in said
    assert "registry: the registry sent" in said


@pytest.mark.parametrize(("policy", "works"), [("insecureAcceptAnything", True), ("reject", False)])
def test_a_policy_still_counts(
    team: Team, capsys: pytest.CaptureFixture[str], policy: str, works: bool
) -> None:
    """For images of registries; what is built here is known by its digest."""
    first = team.machine("first")
    first.run("lock")
    document = {
        "default": [{"type": "reject"}],
        "transports": {"docker": {team.registry.host: [{"type": policy}]}},
    }
    path = team.folder / "policy.json"
    path.write_text(json.dumps(document))
    second = team.machine("second", lock=first)
    for one in (first, second):
        assert bool(one.build("--locked", "--policy", str(path))) is works
        assert ("[image-untrusted]" in capsys.readouterr().err) is not works


def test_a_package_that_has_the_name_of_a_locked_image(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was built here need not be signed; an image of a registry does not pass for that."""
    machine = team.machine("one")
    web = f"{team.registry.host}/web"
    machine.system(f"init: ['{web}:1']\n")
    assert machine.run("lock") == 0
    recipe = machine.folder / "tool/build.yml"
    recipe.write_text(
        f"image: web\norg: {team.registry.host}\ntag: '1'\nfiles: [{{path: a, contents: b}}]\n"
    )
    assert main(["pkg", "build", "--cache", str(machine.store), str(recipe.parent)]) == 0
    path = team.folder / "policy.json"
    path.write_text('{"default": [{"type": "reject"}]}')
    assert machine.build("--locked")
    capsys.readouterr()
    assert machine.build("--locked", "--policy", str(path)) == ""
    assert "[image-untrusted]" in capsys.readouterr().err


def test_bricks_of_a_registry(
    team: Team, docker_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They are locked as that registry has them, and taken from there again."""
    bricks = f"{docker_registry()}/team/bricks"
    recipe = tmp_path / "bricks/one"
    recipe.mkdir(parents=True)
    (recipe / "build.yml").write_text(
        "image: one\norg: compos\ntag: v1\nfiles: [{path: a, contents: b}]\n"
    )
    monkeypatch.setattr("compos.package.bricks.bricks_folder", lambda: recipe.parent)
    store = ("--cache", str(tmp_path / "publisher"))
    assert main(["pkg", "push", *store, "--registry", bricks, str(recipe)]) == 0
    machine = team.machine("one")
    machine.system("init: [compos/one:v1]\n")
    assert machine.run("lock", "--bricks", bricks) == 0
    (image,) = json.loads(machine.lock.read_text())["images"].values()
    assert "digest" in image
    built = machine.build("--locked")
    second = team.machine("second", lock=machine)
    second.system("init: [compos/one:v1]\n")
    assert second.build("--locked", "--bricks", bricks) == built != ""
    # Without the option, the name means nothing that could be asked for.
    third = team.machine("third", lock=machine)
    third.system("init: [compos/one:v1]\n")
    assert third.build("--locked") == ""
    # A lock stays what it is, though the registry cannot be reached.
    before = machine.lock.read_text()
    assert machine.run("lock", "--bricks", "127.0.0.1:1/none") == 0
    assert machine.lock.read_text() == before


def test_a_package_that_is_named_without_its_folder(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = team.machine("one")
    assert (
        main(
            [
                "pkg",
                "build",
                "--cache",
                str(machine.store),
                "--debian-mirror",
                f"{team.server.url}/debian",
                str(machine.folder / "tool"),
            ]
        )
        == 0
    )
    machine.system("init: ['test/tool:v1']\n")
    capsys.readouterr()
    assert machine.run("lock") == 0
    assert "WARNING: docker.io/test/tool:v1 was built on this machine" in capsys.readouterr().err
    assert machine.build("--locked")


def test_a_remote_cache_has_locked_bricks(team: Team, docker_registry: StartRegistry) -> None:
    key = team.folder / "cache.key"
    assert main(["cache", "key", str(key)]) == 0
    first = team.machine("first")
    first.run("lock")
    cache = f"{docker_registry()}/cache:os"
    runner = team.machine("runner", lock=first)
    built = runner.build("--locked", "--cache-to", cache, "--cache-key", str(key))
    assert built
    second = team.machine("second", lock=first)
    flags = ("--cache-from", cache, "--cache-key", f"{key}.pub")
    assert second.build("--locked", *flags, *NOWHERE) == built
    # Its store lacks layers: without the cache they are built.
    assert not (second.store / "debian/packages").exists()
    assert second.build("--locked") == built
    assert (second.store / "debian/packages").exists()
    team.move_on()
    # The cache of another lock does not help, and does no harm.
    newer = team.machine("newer")
    assert newer.run("lock") == 0
    assert newer.build("--locked", *flags) not in ("", built)


def test_several_processes_on_one_store(team: Team) -> None:
    first = team.machine("first")
    first.run("lock")
    built = first.build("--locked")
    second = team.machine("second", lock=first)
    command = [sys.executable, "-m", "compos", "build", "--locked", "--cache", str(second.store)]
    command += ["--debian-mirror", f"{team.server.url}/debian", str(second.folder / "os.yml")]
    outputs = [second.folder / f"{number}.tar" for number in range(3)]
    running = [
        subprocess.Popen([*command, "--o", str(output)], stderr=subprocess.PIPE)
        for output in outputs
    ]
    for process in running:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    assert {hashlib.sha256(output.read_bytes()).hexdigest() for output in outputs} == {built}
    # Whoever comes second waits for the first one's package.
    assert team.server.paths().count("/debian/pool/main/tool_1.deb") == 2


def test_an_image_that_is_a_volume(team: Team, docker_registry: StartRegistry) -> None:
    machine = team.machine("one")
    host = team.registry.host
    machine.system(f"volumes: [{{name: parts, image: '{host}/web:1', format: oci}}]\n")
    repository = f"{docker_registry()}/parts"
    assert machine.run("lock", "--mirror-to", repository) == 0
    built = machine.build("--locked")
    team.publish("two")
    second = team.machine("other", lock=machine)
    second.system((machine.folder / "os.yml").read_text())
    team.registry.documents.clear()
    assert second.build("--locked") == built != ""


def test_an_archive_beside_the_yaml(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    """Its name in the lock does not depend on where both lie; its contents are checked."""
    layout = team.folder / "published"
    machine = team.machine("one")
    for path in (machine, other := team.machine("another")):
        path.system("init: ['oci:image:docker.io/library/web:1']\n")
        shutil.copytree(layout, path.folder / "image")
    assert machine.run("lock") == 0
    assert "oci:image:docker.io/library/web:1" in json.loads(machine.lock.read_text())["images"]
    built = machine.build("--locked")
    shutil.copy(machine.lock, other.lock)
    assert other.build("--locked") == built != ""
    team.publish("two")
    shutil.rmtree(other.folder / "image")
    shutil.copytree(layout, other.folder / "image")
    assert other.build("--locked") == ""
    assert "[lock-mismatch]" in capsys.readouterr().err


@pytest.mark.root
def test_the_images_that_a_dockerfile_uses(
    team: Team,
    docker_registry: StartRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "COMPOS_BUILDER": "buildah",
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "vfs",
    }.items():
        monkeypatch.setenv(name, value)
    web = f"{team.registry.host}/web:1"
    repository = f"{docker_registry()}/parts"

    def machine(name: str, lock: Machine | None = None) -> Machine:
        made = team.machine(name, lock=lock)
        (made.folder / "app").mkdir()
        (made.folder / "app/build.yml").write_text("image: app\norg: test\ntag: v1\n")
        (made.folder / "app/Dockerfile").write_text(f"FROM {web}\nCOPY build.yml /more\n")
        made.system("init: ['@pkg:app']\n")
        return made

    first = machine("first")
    assert first.run("lock", "--mirror-to", repository) == 0, capsys.readouterr().err
    images = json.loads(first.lock.read_text())["images"]
    assert sorted(images) == sorted([web, "docker.io/test/app:v1"])
    assert images["docker.io/test/app:v1"]["platforms"]["linux/amd64"]["bases"] == [web]
    built = first.build("--locked")
    assert first.run("lock", "--check") == 0
    team.publish("two")
    assert first.run("lock", "--check") == 100
    before = first.lock.read_text()
    assert first.run("lock") == 0
    assert first.lock.read_text() == before
    # Where the image can be had, it is not built again; else it is, from the locked base.
    assert machine("second", first).build("--locked") == built != ""
    capsys.readouterr()
    again = machine("third", first).build("--locked", "--mirror-from", f"{repository}/none")
    said = capsys.readouterr().err
    assert "is built by buildah" in said
    assert again == built
    assert first.run("lock", "--update") == 0
    after = json.loads(first.lock.read_text())["images"]
    assert all(after[name] != images[name] for name in images)


@pytest.mark.root
def test_a_dockerfile_upon_packages_of_its_tree(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They need not be named by the YAML: they are locked with their Debian packages."""
    for name, value in {
        "COMPOS_BUILDER": "buildah",
        "BUILDAH_ISOLATION": "chroot",
        "STORAGE_DRIVER": "vfs",
    }.items():
        monkeypatch.setenv(name, value)
    machine = team.machine("one")
    (machine.folder / "app").mkdir()
    (machine.folder / "app/build.yml").write_text("image: app\norg: test\ntag: v1\n")
    (machine.folder / "app/Dockerfile").write_text("FROM test/tool:v1\nCOPY build.yml /more\n")
    machine.system("init: ['@pkg:app']\n")
    assert machine.run("lock") == 0, capsys.readouterr().err
    document = json.loads(machine.lock.read_text())
    assert [*document["images"]] == ["docker.io/test/app:v1", "docker.io/test/tool:v1"]
    assert "trixie/lib_1_amd64" in document["debian"]["packages"]
    assert machine.build("--locked")
    assert machine.run("lock", "--check") == 0
    before = machine.lock.read_text()
    assert machine.run("lock") == 0
    assert machine.lock.read_text() == before
    team.move_on()
    capsys.readouterr()
    assert machine.run("lock", "--check") == 100
    assert "lib 1 -> lib 2 trixie-updates" in capsys.readouterr().out
    assert machine.run("lock", "--update") == 0
    after = json.loads(machine.lock.read_text())
    assert "trixie-updates/lib_2_amd64" in after["debian"]["packages"]
    assert all(after["images"][name] != one for name, one in document["images"].items())
    assert machine.build("--locked")


def test_packages_that_are_built_from_each_other(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = team.machine("one")
    for name, base in (("a", "b"), ("b", "a")):
        (machine.folder / name).mkdir()
        (machine.folder / name / "build.yml").write_text(f"image: {name}x\norg: test\ntag: v1\n")
        (machine.folder / name / "Dockerfile").write_text(f"FROM test/{base}x:v1\n")
    machine.system("init: ['@pkg:a']\n")
    assert machine.run("lock") == 1
    assert "[package-cycle]" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [("--pull",), ("--docker",)])
def test_flags_that_contradict_a_lock(
    team: Team, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    assert team.machine("one").build("--locked", *flags) == ""
    assert "cannot be combined" in capsys.readouterr().err
