"""The least that is right, over two systems: a table of edits."""

from __future__ import annotations

import pytest

from compos.develop.decision import Decision, decide
from compos.develop.picture import same_nodes
from compos.tree.contents import Contents
from tests.develop.pictures import SYSTEM, PictureWorld
from tests.images import Member


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> PictureWorld:
    world = PictureWorld(tmp_path_factory.mktemp("world"))
    world.image(
        "acme/modules:1",
        [[Member("bin/app", mode=0o755, content="app")]],
        {"Entrypoint": ["/bin/app"], "Labels": {"org.compos.modules": "fuse"}},
    )
    return world


def decided(world: PictureWorld, old: str, new: str) -> Decision:
    with Contents(world.store.root) as contents:
        return decide(world.picture(old), world.picture(new), same_nodes(contents))


WEB = 'name: web, image: "acme/web:1"'
SERVICES = {
    "an image": (WEB, 'name: web, image: "acme/web:2"', "web", "/bin/web"),
    "its environment": (WEB, f"{WEB}, env: [A=b]", "web", "settings"),
    "its command": (WEB, f"{WEB}, command: [/bin/web, -v]", "web", "settings"),
    "what it is bound to": ('"/run:/run"]', '"/run:/run", "/tmp:/tmp"]', "web", "settings"),
    "its restart policy": (WEB, f"{WEB}, restart: always", "web", "restart"),
    "a health check": (WEB, f"{WEB}, healthcheck: {{test: [CMD, /bin/web]}}", "web", "health"),
    "its order": (WEB, f"{WEB}, depends_on: [other]", "web", "after"),
    "a read-only root": (WEB, f"{WEB}, readonly: true", "web", "settings"),
    "a file in it": (
        "files:\n",
        "files:\n  - {path: containers/services/web/lower/etc/new, contents: x}\n",
        "web",
        "/etc/new",
    ),
}


@pytest.mark.parametrize("case", SERVICES)
def test_a_service_is_replaced(world: PictureWorld, case: str) -> None:
    before, after, service, reason = SERVICES[case]
    assert before in SYSTEM
    decision = decided(world, SYSTEM, SYSTEM.replace(before, after, 1))
    assert not decision.boot
    assert [*decision.services] == [service]
    assert reason in ", ".join(decision.services[service])
    assert not decision.files
    assert not decision.restarts


BOOTS = {
    "the command line": ("cmdline: quiet", "cmdline: loud", "the kernel's command line"),
    "init": ('init: ["acme/init:1"]', 'init: ["acme/init:1", "acme/web:1"]', "init: /"),
    "an onboot container": ("name: first, image:", "name: first, env: [A=b], image:", "onboot"),
    "the image of one": (
        'name: first, image: "acme/app',
        'name: first, image: "acme/web',
        "onboot",
    ),
    "an onshutdown container": ("name: last,", "name: last, env: [A=b],", "shutdown"),
    "a volume": ('name: data, image: "acme/app', 'name: data, image: "acme/web', "volumes data"),
    "modules that a new service needs": (
        "volumes:",
        '  - {name: more, image: "acme/modules:1"}\nvolumes:',
        "service more: kernel modules fuse",
    ),
    "an onboot container more": (
        "onshutdown:",
        '  - {name: second, image: "acme/app:1"}\nonshutdown:',
        "onboot 001-second is new",
    ),
    "where its log goes": (
        WEB,
        f"{WEB}, logging: {{driver: none}}",
        "service web: where its log goes",
    ),
    "modules that it needs": (
        'name: other, image: "acme/app:1"',
        'name: other, image: "acme/modules:1"',
        "service other: kernel modules fuse",
    ),
    "a namespace that services share": (
        '"/run:/run"]}\n  - {name: log,',
        '"/run:/run"], net: new}\n  - {name: log, net: "service:web",',
        "the stage services",
    ),
    "a file that init reads": ("contents: hi", "contents: ho", "no service sees /etc/issue"),
    "a file that an onboot container sees": (
        "contents: boot",
        "contents: bye",
        "onboot 000-first sees /etc/boot",
    ),
    "a folder for a file": (
        "{path: srv/www/old.html, contents: old}",
        "{path: srv/www/old.html, directory: true}",
        "is a folder in one version only",
    ),
    "what is hidden": (
        "files:\n",
        "files:\n  - {path: run/x, contents: x}\n",
        "hidden while the system runs",
    ),
}


@pytest.mark.parametrize("case", BOOTS)
def test_the_guest_boots(world: PictureWorld, case: str) -> None:
    before, after, reason = BOOTS[case]
    assert before in SYSTEM
    decision = decided(world, SYSTEM, SYSTEM.replace(before, after, 1))
    assert reason in ", ".join(decision.boot), decision
    assert not decision.services
    assert not decision.files


MORE = SYSTEM.replace("volumes:", '  - {name: more, image: "acme/app:1"}\nvolumes:')


def test_services_come_and_go(world: PictureWorld) -> None:
    assert decided(world, SYSTEM, MORE) == Decision(added=("more",))
    assert decided(world, MORE, SYSTEM) == Decision(removed=("more",))
    waits = MORE.replace(WEB, f"{WEB}, depends_on: [more]")
    decision = decided(world, SYSTEM, waits)
    assert (decision.boot, decision.added, [*decision.services]) == ((), ("more",), ["web"])
    renamed = SYSTEM.replace("name: other", "name: another")
    assert decided(world, SYSTEM, renamed) == Decision(added=("another",), removed=("other",))


def test_the_first_service_boots(world: PictureWorld) -> None:
    """init listens for requests when there is one."""
    start, end = SYSTEM.index("services:"), SYSTEM.index("volumes:")
    none = SYSTEM[:start] + SYSTEM[end:]
    assert decided(world, none, SYSTEM).boot


def test_files_are_put_and_who_sees_them_restarts(world: PictureWorld) -> None:
    decision = decided(world, SYSTEM, SYSTEM.replace("contents: hello", "contents: bye"))
    assert not decision.boot
    assert not decision.services
    assert decision.files == ("srv/www/index.html",)
    assert [*decision.restarts] == ["web"]


def test_the_description_of_the_system_is_nobodys_reason(world: PictureWorld) -> None:
    """It changes with everything."""
    decision = decided(world, SYSTEM, SYSTEM.replace("metadata: yaml", "metadata: json"))
    assert decision == Decision(files=("etc/os.yml",))


def test_whoever_has_everything_does_not_count(world: PictureWorld) -> None:
    """But for what it names, too."""
    decision = decided(world, SYSTEM, SYSTEM.replace("contents: both", "contents: all"))
    assert [*decision.restarts] == ["log", "other"]


def test_files_go_and_come(world: PictureWorld) -> None:
    edited = SYSTEM.replace("old.html, contents: old", "new.html, contents: new")
    decision = decided(world, SYSTEM, edited)
    assert set(decision.files) == {"srv/www/old.html", "srv/www/new.html"}
    assert [*decision.restarts] == ["web"]


def test_a_service_that_is_replaced_is_not_restarted(world: PictureWorld) -> None:
    edited = SYSTEM.replace("contents: hello", "contents: bye").replace(WEB, f"{WEB}, env: [A=b]")
    decision = decided(world, SYSTEM, edited)
    assert [*decision.services] == ["web"]
    assert not decision.restarts


NOTHING = {
    "a comment": (SYSTEM, f"{SYSTEM}# more\n"),
    "the same files in another archive": (
        SYSTEM,
        SYSTEM.replace("acme/web:1", "acme/web:again"),
    ),
}


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_is_done(world: PictureWorld, case: str) -> None:
    assert not decided(world, *NOTHING[case])


def test_an_image_that_others_share_moves_with_the_first_of_them(world: PictureWorld) -> None:
    """`log` and `other` have one image, laid out in the folder of `first`."""
    edited = SYSTEM.replace('name: log, image: "acme/app:1"', 'name: log, image: "acme/web:2"')
    decision = decided(world, SYSTEM, edited)
    assert [*decision.services] == ["log"]
    own = SYSTEM.replace('name: first, image: "acme/app:1"', 'name: first, image: "acme/web:1"')
    assert not decided(world, own, own)


def test_an_init_without_a_plan_boots(world: PictureWorld) -> None:
    world.image("acme/plain:1", [[Member("init", mode=0o755, content="#!")]])
    old = SYSTEM.replace("acme/init:1", "acme/plain:1")
    decision = decided(world, old, old.replace("contents: hello", "contents: bye"))
    assert decision.boot == ("the system's init has no plan",)
    assert not decided(world, old, old)
