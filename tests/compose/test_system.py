"""The root filesystem's layout: paths, modes, placeholders and contents as the reference has them
(section 3)."""

from __future__ import annotations

import gzip
import json

import pytest

from compos.errors import ComposError, ImageError
from compos.tree.contents import Contents
from compos.tree.node import EPOCH, Node
from tests.compose.systems import World
from tests.images import Member

WEB = """
kernel:
  image: acme/kernel:1
  cmdline: console=ttyS0
init:
  - acme/init:1
onboot:
  - name: one
    image: acme/app:1
onshutdown:
  - name: bye
    image: acme/app:1
services:
  - name: web
    image: acme/app:1
    readonly: true
"""


def test_kernel(world: World) -> None:
    system = world.compose(WEB)
    assert system.cmdline == "console=ttyS0"
    assert system.kernel is not None
    assert world.text(system.kernel) == "KERNEL"
    nodes = {path: node for path, node, _ in system.with_boot()}
    assert world.text(nodes["lib/modules/6.1/a.ko"]) == "module"
    assert (nodes["boot/cmdline"].mode, nodes["boot/kernel"].mtime) == (0o644, EPOCH)
    assert "boot" in {path for path, _, _ in system.root.nodes}, (
        "the empty directory stays in the initrd"
    )


@pytest.mark.parametrize(
    ("kernel", "id"),
    [
        ("image: acme/app:1", "kernel-missing"),
        ("image: acme/kernel:1\n  tar: modules.tar", "kernel-tar-missing"),
        ("image: acme/kernel:1\n  tar: kernel", "kernel-tar-damaged"),
    ],
)
def test_kernel_mistakes(world: World, kernel: str, id: str) -> None:
    with pytest.raises(ComposError) as caught:
        world.compose(f"kernel:\n  {kernel}\n")
    assert caught.value.id == id


def test_kernel_without_modules_and_behind_a_link(world: World) -> None:
    world.image(
        "acme/linked:1",
        [[Member("vmlinuz-6", content="K6"), Member("kernel", "symlink", content="vmlinuz-6")]],
    )
    system = world.compose("kernel:\n  image: acme/linked:1\n  tar: none\n")
    assert system.kernel is not None
    assert world.text(system.kernel) == "K6"


def test_bundles(world: World) -> None:
    nodes = world.nodes(WEB)
    first = "containers/onboot/000-one"
    assert world.text(nodes[f"{first}/lower/bin/app"]) == "app"
    for path in (
        f"{first}/tmp",
        f"{first}/rootfs",
        f"{first}/lower/proc",
        f"{first}/lower/dev/shm",
    ):
        assert (nodes[path].kind, nodes[path].mode) == ("d", 0o755)
    # The same image again: no files of its own, its root mounts lead to the first one's.
    assert "containers/services/web/rootfs/bin/app" not in nodes
    mounts = json.loads(world.text(nodes["containers/services/web/runtime.json"]))["mounts"]
    assert mounts == [
        {
            "destination": "/containers/services/web/rootfs",
            "source": f"/{first}/lower",
            "options": ["bind"],
        }
    ]
    assert "containers/onshutdown/000-bye/config.json" in nodes


def test_runtime_document_of_a_writable_container(world: World) -> None:
    document = world.document(
        "    runtime: {mkdir: [/x], bindNS: {net: /run/n}, interfaces: [{name: w, add: wireguard}]}\n",
        "runtime.json",
    )
    base = "/containers/services/app"
    assert list(document) == ["cgroups", "mounts", "mkdir", "interfaces", "bindNS", "namespace"]
    assert document["mounts"][2]["options"] == [
        f"lowerdir={base}/lower",
        f"upperdir={base}/tmp/upper",
        f"workdir={base}/tmp/work",
    ]
    assert document["bindNS"] == {
        "cgroup": "",
        "ipc": "",
        "mnt": "",
        "net": "/run/n",
        "pid": "",
        "user": "",
        "uts": "",
    }
    assert document["interfaces"] == [{"name": "w", "add": "wireguard", "createInRoot": False}]


def test_engine_leftovers_and_name_files(world: World) -> None:
    world.image(
        "acme/init:1",
        [[Member(".dockerenv"), Member("Dockerfile"), Member("etc", "dir", 0o700), Member("etc/hostname", content="x"),
          Member("etc/hosts", "symlink", content="/x"), Member("etc/resolv.conf", content="nameserver 1"), Member("dev/console")]],
    )  # fmt: skip
    nodes = world.nodes("init: [acme/init:1]\n")
    assert not {".dockerenv", "Dockerfile", "etc/hostname", "dev/console"} & set(nodes)
    assert nodes["etc"].mode == 0o700, "an image's own directory keeps its mode"
    assert len(world.text(nodes["etc/hosts"])) == 160
    assert nodes["etc/resolv.conf"].link == "/run/resolvconf/resolv.conf"
    assert (nodes["etc/mtab"].link, nodes["etc/mtab"].mode) == ("/proc/mounts", 0o755)


def test_container_resolv_conf_is_a_placeholder(world: World) -> None:
    nodes = world.nodes(WEB)
    assert len(world.text(nodes["containers/onboot/000-one/lower/etc/resolv.conf"])) == 29


def test_later_init_images_win(world: World) -> None:
    world.image("acme/b:1", [[Member("init", mode=0o700, content="second")]])
    nodes = world.nodes("init: [acme/init:1, acme/b:1]\n")
    assert (world.text(nodes["init"]), nodes["init"].mode) == ("second", 0o700)


FILES = [
    ("path: /a, contents: x", "a", ("f", 0o600)),
    ("path: a/b, contents: x, mode: '0644'", "a", ("d", 0o755)),
    ("path: a/b, contents: x", "a", ("d", 0o700)),
    ("path: a/b, contents: x, mode: '0440'", "a", ("d", 0o550)),
    ("path: ./a//b, contents: x", "a/b", ("f", 0o600)),
    ("path: d, directory: true", "d", ("d", 0o700)),
    ("path: l, symlink: ../t", "l", ("l", 0o600)),
    ("path: m, metadata: yaml, mode: '0444'", "m", ("f", 0o444)),
]


@pytest.mark.parametrize(("entry", "path", "expected"), FILES)
def test_files(world: World, entry: str, path: str, expected: tuple[str, int]) -> None:
    node = world.nodes(f"files:\n  - {{{entry}}}\n")[path]
    assert (node.kind, node.mode) == expected


def test_file_sources(world: World) -> None:
    (world.folder / "big").write_bytes(b"x" * 200_000)
    nodes = world.nodes(
        f"files:\n  - {{path: big, source: {world.folder}/big}}\n  - {{path: no, source: /none, optional: true}}\n"
    )
    assert nodes["big"].size == 200_000
    assert "no" not in nodes
    with pytest.raises(ComposError) as caught:
        world.nodes("files:\n  - {path: no, source: /none}\n")
    assert caught.value.id == "files-source"
    assert "os.yml:2" in (caught.value.place or "")


def test_the_plan_is_written_only_for_our_init(world: World) -> None:
    assert "etc/compos/plan" not in world.nodes(WEB)
    world.image("acme/init:1", [[Member("init")]], {"Labels": {"org.compos.init.plan": "1"}})
    plan = world.text(world.nodes(WEB)["etc/compos/plan"])
    assert plan.startswith("compos-plan\t1\nstage\tboot\nmount\tproc\t/proc\tproc\t")
    assert "container\t000-one\t/containers/onboot/000-one\t\n" in plan
    assert "containerd\t" not in plan, "no containerd in the root: no services are started"
    stages = [line.split("\t")[1] for line in plan.splitlines() if line.startswith("stage\t")]
    assert stages == ["boot", "onboot", "services", "shutdown"]


def test_the_plans_services(world: World) -> None:
    world.image(
        "acme/init:1",
        [
            [
                Member("usr/bin/containerd"),
                Member("etc/init.d/002-x"),
                Member("etc/init.d/020-containerd"),
                Member("etc/init.d/050-y"),
            ]
        ],
        {"Labels": {"org.compos.init.plan": "1"}},
    )
    nodes = world.nodes(WEB)
    lines = world.text(nodes["etc/compos/plan"]).splitlines()
    assert "containerd\t/usr/bin/containerd\t/run/containerd/containerd.sock" in lines
    assert "container\tweb\t/containers/services/web\tservices.linuxkit" in lines
    scripts = [line for line in lines if line.startswith("script")]
    assert scripts == ["script\t/etc/init.d/002-x", "script\t/etc/init.d/050-y"]
    offset, length = next(line.split("\t")[1:] for line in lines if line.startswith("rootpath"))
    config = world.text(nodes["containers/services/web/config.json"]).encode()
    assert config[int(offset) : int(offset) + int(length)] == b'"rootfs"'


DISKS = """
init: ['acme/init:1']
onboot:
  - {name: a, image: 'acme/app:1', binds: ['/run:/run']}
  - {name: b, image: 'acme/app:1', BINDS}
services:
  - {name: c, image: 'acme/app:1'}
"""


@pytest.mark.parametrize(
    ("binds", "place"),
    [
        ("binds: ['/run:/run']", None),
        ("binds: ['/dev:/dev']", 1),
        ("binds: ['/:/root']", 1),
        ("mounts: [{type: bind, source: /dev/sda, destination: /x, options: [bind]}]", 1),
        ("mounts: [{type: ext4, source: /dev/sda, destination: /x}]", 1),
        ("devices: [{path: /dev/sda, type: b, major: 8, minor: 0, mode: '0600'}]", 1),
        ("devices: [{path: all, type: b}]", 1),
        ("runtime: {mounts: [{type: ext4, source: /dev/sda, destination: /var/x}]}", 1),
    ],
)
def test_who_may_see_disks_waits_for_them(world: World, binds: str, place: int | None) -> None:
    world.image("acme/init:1", [[Member("init")]], {"Labels": {"org.compos.init.plan": "1"}})
    lines = world.text(world.nodes(DISKS.replace("BINDS", binds))["etc/compos/plan"]).splitlines()
    waiting = [
        line.split("\t")[0:2] for line in lines if line == "disks" or line.startswith("container\t")
    ]
    names = [["container", "000-a"], ["container", "001-b"], ["container", "c"]]
    if place is not None:
        names.insert(place, ["disks"])
    assert waiting == names


def test_modules_that_containers_ask_for_are_in_the_plan(world: World) -> None:
    world.image("acme/init:1", [[Member("init")]], {"Labels": {"org.compos.init.plan": "1"}})
    world.image("acme/net:1", [[Member("x")]], {"Labels": {"org.compos.modules": "af_packet  tun"}})
    system = """
init: ['acme/init:1']
onboot: [{name: a, image: 'acme/net:1'}, {name: b, image: 'acme/net:1', readonly: true}]
services: [{name: c, image: 'acme/app:1', readonly: true}]
"""
    lines = world.text(world.nodes(system)["etc/compos/plan"]).splitlines()
    assert lines.index("modules\tevdev") < lines.index("coldplug-early")
    told = [line for line in lines if line.startswith(("container\t", "modules\t"))]
    assert [line.split("\t")[:2] for line in told] == [
        ["modules", "evdev"],
        ["container", "000-a"],
        ["modules", "af_packet tun overlay"],
        ["container", "001-b"],
        ["modules", "af_packet tun"],
        ["container", "c"],
    ]


@pytest.mark.parametrize(
    ("settings", "overlaid"),
    {
        "binds: ['/etc/x:/etc/x']": True,
        "binds: ['/x:/there/file', '/x:/there', '/x:/etc/hosts', '/x:/dev/x']": False,
        "binds: ['/x:/there/../etc/./resolv.conf/']": False,
        "binds: ['/x:/etc/hostname']": True,  # which is never in a root
        "binds: ['/x:/link']": True,  # where it leads is not looked at
        "binds: ['/x:/link/there']": True,
        "tmpfs: [/run]": True,
        "tmpfs: [/run, /there/own]": True,
        "tmpfs: [/there], binds: ['/x:/there/deep/y']": False,  # made in the tmpfs
        "mounts: [{type: tmpfs, destination: /run}]": True,
        "runtime: {mkdir: [run/x]}": True,
        "runtime: {mkdir: [/run/x, there]}": False,
        "runtime: {mounts: [{type: tmpfs, source: tmpfs, destination: run}]}": True,
        "runtime: {mounts: [{type: tmpfs, source: tmpfs, destination: /run}]}": False,
    }.items(),
)
def test_places_that_a_read_only_root_lacks(world: World, settings: str, overlaid: bool) -> None:
    """The runtime makes them in an overlay; all else stays as LinuxKit has it."""
    files = [
        Member("there", "dir", 0o755),
        Member("there/file"),
        Member("link", "symlink", content="there"),
    ]
    world.image("acme/own:1", [files])
    container = f"image: 'acme/own:1', readonly: true, {settings}"
    nodes = world.nodes(f"""
onboot: [{{name: a, {container}}}]
services: [{{name: b, {container}}}, {{name: c, image: 'acme/own:1', readonly: true}}]
""")
    base, root = "containers/onboot/000-a", "lower" if overlaid else "rootfs"
    assert f"{base}/{root}/there/file" in nodes
    assert (f"{base}/tmp" in nodes, f"{base}/lower" in nodes) == (overlaid, overlaid)
    for bundle, over in (
        (base, overlaid),
        ("containers/services/b", overlaid),
        ("containers/services/c", False),
    ):
        config, runtime = (
            json.loads(world.text(nodes[f"{bundle}/{name}.json"])) for name in ("config", "runtime")
        )
        assert config["root"] == {"path": "rootfs", "readonly": True}
        (mount,) = [one for one in runtime["mounts"] if one["destination"] == f"/{bundle}/rootfs"]
        if over:
            assert f"lowerdir=/{base}/{root}" in mount["options"]
            assert f"{bundle}/tmp" in nodes
        else:
            assert (mount["source"], mount["options"]) == (f"/{base}/{root}", ["bind"])


@pytest.mark.parametrize(
    ("own", "path", "bound"),
    [
        ("", "/run/compos/namespaces/web.pid", "/run/compos/namespaces/web.pid"),
        ("runtime: {bindNS: {pid: /run/own}}", "/run/own", "/run/own"),
        ("pid: host", None, ""),
    ],
)
def test_services_share_processes(world: World, own: str, path: str | None, bound: str) -> None:
    world.image("acme/init:1", [[Member("init")]], {"Labels": {"org.compos.init.plan": "1"}})
    nodes = world.nodes(f"""
init: ['acme/init:1']
services:
  - {{name: beside, image: 'acme/app:1', pid: 'service:web'}}
  - {{name: web, image: 'acme/app:1', {own}}}
""")
    spaces = json.loads(world.text(nodes["containers/services/beside/config.json"]))["linux"][
        "namespaces"
    ]
    found = [space.get("path") for space in spaces if space["type"] == "pid"]
    assert found == ([path] if path else [])
    runtime = json.loads(world.text(nodes["containers/services/web/runtime.json"]))
    assert runtime["bindNS"]["pid"] == bound
    plan = world.text(nodes["etc/compos/plan"]).splitlines()
    assert ("after\tweb\trunning\trestart" in plan) == bool(path)


def test_segments_add_up_to_the_root(world: World) -> None:
    """Laid down one after another, as the kernel unpacks them, the segments give the final tree."""
    world.image(
        "acme/b:1",
        [
            [
                Member("init", "dir", 0o711),
                Member("init/x"),
                Member("sbin", "symlink", content="init"),
            ]
        ],
    )
    world.image("acme/c:1", [[Member("sbin/y", content="y"), Member("etc", "dir", 0o751)]])
    system = world.compose(
        "init: [acme/init:1, acme/b:1, acme/c:1]\nfiles:\n  - {path: etc/z, contents: z, mode: '0604'}\n"
    )
    laid: dict[str, Node] = {}
    for _, segment in system.root.segments:
        for path, node in segment:
            parent = path.rpartition("/")[0]
            assert not parent or laid[parent].kind == "d", path
            laid[path] = node
    assert laid == {path: node for path, node, _ in system.root.nodes}
    assert "init/y" in laid, "a path through a link goes where the link leads"


def test_a_decompressed_kernel(world: World) -> None:
    plain = b"\x7fELF" + bytes(5000)
    world.image(
        "acme/packed:1",
        [[Member("kernel", mode=0o644, content=gzip.compress(plain)), Member("x", content="no")]],
    )
    yaml = "kernel: {image: 'acme/packed:1', tar: none}"
    for _ in range(2):
        system = world.compose(yaml, decompress_kernel=True)
        assert system.kernel is not None
        assert (system.kernel.size, system.kernel.mtime, system.kernel.mode) == (
            len(plain),
            EPOCH,
            0o644,
        )
        with Contents(world.store.root) as contents:
            assert b"".join(contents.chunks(system.kernel.content)) == plain
    with pytest.raises(ImageError) as caught:
        world.compose(
            "kernel: {image: 'acme/packed:1', tar: none, binary: x}", decompress_kernel=True
        )
    assert caught.value.id == "kernel-compression"
