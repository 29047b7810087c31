"""Making room: what was not used for long goes first, what is used stays, images go by name
only."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.errors import ImageError
from compos.image.derived_kinds import DerivedKind
from compos.image.removal import (
    LIMIT_VARIABLE,
    clean,
    clean_older,
    clean_to,
    keep_bound,
    limit_of,
    parse_age,
    parse_size,
)
from compos.image.store import Store
from tests.images import make_image

DAY = 24 * 3600


class Clock:
    """Time that passes when it is told to; files' own times are real."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr(time, "time", lambda: self.now)

    def days(self, number: float) -> None:
        self.now += number * DAY


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Of a store that nobody uses: each function below opens it for itself, and a store in use
    gives nothing away."""
    return tmp_path / "store"


def derive(root: Path, *keys: str, size: int = 1000) -> None:
    store = Store(root)
    for key in keys:
        with store.derive(DerivedKind.HOST, key) as path:
            path.write_bytes(bytes(size))


def use(root: Path, *keys: str) -> None:
    assert all(Store(root).derived(DerivedKind.HOST, key) for key in keys)


def keys(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "derived/host").iterdir())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("12", 12),
        ("3K", 3 << 10),
        ("500M", 500 << 20),
        ("1.5G", 3 << 29),
        ("20GiB", 20 << 30),
        ("2TB", 2 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "1X", "1e9", "١G", "9" * 30, "1.2.3G", "G", "1 G"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="a size must be"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "age"), [("0d", 0), ("30m", 1800), ("12h", 43200), ("7d", 604800), ("2w", 1209600)]
)
def test_ages(text: str, age: int) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize("text", ["", "7", "d", "7y", "-7d", "1.5d", "9" * 30 + "d"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(ValueError, match="an age must be"):
        parse_age(text)


def test_what_was_not_used_for_long_goes(root: Path, clock: Clock) -> None:
    image = make_image(Store(root), "xy:1", [[("a", "file", 0o644, "one")]])
    derive(root, "old", "used", "pieces")
    clock.days(10)
    use(root, "used")
    assert Store(root).holds([("derived/host/pieces", 5)])
    derive(root, "new")
    clock.days(3)
    assert clean_older(Store(root), 7 * DAY) == 1000
    assert keys(root) == ["new", "pieces", "used"]
    assert clean_older(Store(root), 4 * DAY) == 0
    assert clean_older(Store(root), 2 * DAY) == 3000
    assert keys(root) == []
    assert Store(root).has(image.digest)


def test_what_was_used_last_stays(root: Path, clock: Clock) -> None:
    derive(root, "a", "b", "c", "d")
    for key in ("c", "a", "d"):
        clock.days(1)
        use(root, key)
    assert clean_to(Store(root), 2500) == 2000
    assert keys(root) == ["a", "d"]
    use(root, "a", "d")
    assert clean_to(Store(root), 0) == 2000
    assert clean_to(Store(root), 0) == 0


def test_packages_and_damaged_blobs_go_too_and_releases_stay(root: Path, clock: Clock) -> None:
    derive(root, "a")
    for name in (
        "debian/packages/old",
        "debian/packages/read",
        "debian/lists/old",
        "debian/releases/x",
        "damaged/x",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10))
        os.utime(path, (clock.now - 9 * DAY,) * 2)
    os.utime(root / "debian/packages/read", (clock.now, clock.now - 9 * DAY))
    left = root / "ingest/left"
    left.mkdir(exist_ok=True)
    assert clean_older(Store(root), 7 * DAY) == 30
    assert not left.exists()
    names = sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.parts[-2] in ("packages", "releases")
    )
    assert names == ["debian/packages/read", "debian/releases/x"]
    assert clean_to(Store(root), 0) == 1010
    clean(Store(root))
    assert (root / "debian/releases/x").exists(), "an older one must not be believed afterwards"


def test_seals_of_what_is_gone_are_forgotten(root: Path) -> None:
    blob = Store(root).put(b"content", "text/plain")
    derive(root, *map(str, range(100)))
    before = (root / "seals").stat().st_size
    clean_to(Store(root), 1000)
    assert (root / "seals").stat().st_size < before / 20
    assert Store(root).seals.derived_size() == 1000
    name = f"blobs/{blob.digest.replace(':', '/')}"
    assert Store(root).seals.holds(name, (root / name).stat())


class TestBound:
    """What a build keeps by itself."""

    def test_what_was_used_least_recently_goes(self, root: Path, clock: Clock) -> None:
        derive(root, "a", "b", "c")
        clock.days(1)
        use(root, "b")
        store = Store(root)
        with store.derive(DerivedKind.HOST, "d") as path:
            path.write_bytes(bytes(1000))
        keep_bound(store, 4000)
        assert keys(root) == ["a", "b", "c", "d"]
        keep_bound(store, 2000)
        assert keys(root) == ["b", "d"]

    def test_what_this_build_uses_stays(self, root: Path) -> None:
        derive(root, "a", "b", "c")
        store = Store(root)
        assert store.derived(DerivedKind.HOST, "a")
        with store.derive(DerivedKind.HOST, "d") as path:
            path.write_bytes(bytes(1000))
        keep_bound(store, 0)
        assert keys(root) == ["a", "d"]
        assert store.holds([("derived/host/a", 1000), ("derived/host/d", 1000)])

    def test_a_build_that_makes_nothing_removes_nothing(self, root: Path) -> None:
        derive(root, "a", "b", "c")
        store = Store(root)
        assert store.derived(DerivedKind.HOST, "a")
        keep_bound(store, 0)
        keep_bound(store, None)
        assert keys(root) == ["a", "b", "c"]

    def test_another_build_keeps_everything(self, root: Path) -> None:
        """In a process of its own, for as long as it runs."""
        derive(root, "a", "b")
        script = (
            "import sys; from pathlib import Path; from compos.image.store import Store\n"
            "from compos.image.derived_kinds import DerivedKind\n"
            "store = Store(Path(sys.argv[1])); store.derived(DerivedKind.HOST, 'a'); print('using', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", script, str(root)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "using\n"
            store = Store(root)
            with store.derive(DerivedKind.HOST, "c") as path:
                path.write_bytes(bytes(1000))
            keep_bound(store, 0)
            assert keys(root) == ["a", "b", "c"]
            other.communicate("")
        keep_bound(store, 0)
        assert keys(root) == ["c"]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("20G", 20 << 30), ("none", None), ("0", 0), ("1.5M", 3 << 19), ("", "usual")],
    )
    def test_its_size(
        self, root: Path, text: str, expected: int | str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(LIMIT_VARIABLE, text)
        derive(root, "a")
        disk = os.statvfs(root)
        usual = min(10 << 30, disk.f_blocks * disk.f_frsize // 10)
        assert limit_of(root) == (usual if expected == "usual" else expected)

    def test_a_size_that_is_none(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(LIMIT_VARIABLE, "much")
        with pytest.raises(ImageError) as caught:
            limit_of(root)
        assert caught.value.id == "cache-limit"


@pytest.mark.slow
def test_cleaning_waits_for_a_build(root: Path) -> None:
    derive(root, "a")
    store = Store(root)
    assert store.derived(DerivedKind.HOST, "a")
    command = [
        sys.executable,
        "-m",
        "compos",
        "cache",
        "clean",
        "--keep",
        "0",
        "--cache",
        str(root),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as cleaning:
        with pytest.raises(subprocess.TimeoutExpired):
            cleaning.wait(1)
        assert keys(root) == ["a"]
        del store
        assert cleaning.wait(20) == 0
    assert keys(root) == []


def test_the_command(root: Path, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    derive(root, "a", size=3_000_000)
    clock.days(10)
    derive(root, "b", "c", size=2_000_000)
    base = ["cache", "clean", "--cache", str(root)]
    assert main([*base, "--older", "7d"]) == 0
    assert "3.0 MB freed" in capsys.readouterr().err
    assert main([*base, "--older", "7d", "--keep", "2M"]) == 0
    assert "2.0 MB freed" in capsys.readouterr().err
    assert len(keys(root)) == 1
    for wrong in (["--older", "soon"], ["--keep", "some"], ["--keep", "1G", "--published-only"]):
        assert main([*base, *wrong]) == 1
    assert main(["cache", "clean", "--keep", "0", "--cache", str(root / "none")]) == 0
