"""The YAML as values: every section and field (docs/linuxkit.md#1.1). Pure.

`None` means "not given" everywhere: what an image's label says may only count then. All places
(`mark`) are equal, so that the same system written elsewhere is the same value; `config.digest`
leaves them out. Named tuples and not data classes: those cost 1 ms each whenever compos starts.
Annotations are values here, not texts as elsewhere: typing compiles each text, a quarter of what
this module costs whenever compos starts.
"""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = [
    "BindNs",
    "BlockDevice",
    "BlockIo",
    "Budget",
    "Config",
    "Cpu",
    "Dependency",
    "Device",
    "DeviceRule",
    "Disk",
    "DiskEscrow",
    "Expectation",
    "File",
    "Healthcheck",
    "HugepageLimit",
    "IdMapping",
    "Identity",
    "ImageEntry",
    "Install",
    "Interface",
    "Kernel",
    "Logging",
    "Mark",
    "Memory",
    "Mount",
    "Network",
    "Pids",
    "Priority",
    "Resources",
    "Runtime",
    "Settings",
    "Trust",
    "TrustRule",
    "Update",
    "Volume",
]

Texts = tuple[str, ...]
Id = str | int


class Mark(NamedTuple):
    """Where something stands: source as the user named it, line and column (from 1), key path
    (`services[1]`).

    `inner` has the places of what stands in it, by relative key path (`image`, `binds[0]`). `note`
    says which variables have gone into the value (`TAG from --set`).
    """

    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""
    inner: "Mapping[str, Mark] | None" = None
    note: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mark)

    def __ne__(self, other: object) -> bool:
        # tuple has its own, which compares the fields.
        return not isinstance(other, Mark)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "Mark"

    def at(self, key: str) -> "Mark":
        """The place of `key` in it; its own where the YAML does not say `key`."""
        return (self.inner or {}).get(key, self)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.path) if part)


class Kernel(NamedTuple):
    """`kernel`."""

    image: str | None = None
    cmdline: str | None = None
    binary: str | None = None
    tar: str | None = None
    ucode: str | None = None
    modules: Texts | None = None
    firmware: Texts | None = None
    mark: Mark = Mark()


class File(NamedTuple):
    """An entry of `files`."""

    path: str | None = None
    directory: bool = False
    symlink: str | None = None
    contents: str | None = None
    source: str | None = None
    metadata: str | None = None
    optional: bool = False
    mode: str | None = None
    uid: Id | None = None
    gid: Id | None = None
    mark: Mark = Mark()


class Volume(NamedTuple):
    """An entry of `volumes`."""

    name: str = ""
    image: str | None = None
    readonly: bool = False
    format: str | None = None
    platforms: Texts | None = None
    mark: Mark = Mark()


class Mount(NamedTuple):
    """An entry of `mounts`."""

    type: str | None = None
    source: str | None = None
    destination: str | None = None
    options: Texts | None = None


class Device(NamedTuple):
    """An entry of `devices`; `mode` is octal text."""

    path: str | None = None
    type: str | None = None
    major: int = 0
    minor: int = 0
    mode: str | None = None


class DeviceRule(NamedTuple):
    """An entry of `resources.devices`."""

    allow: bool = False
    type: str | None = None
    major: int | None = None
    minor: int | None = None
    access: str | None = None


class Memory(NamedTuple):
    """`resources.memory`; limits in bytes."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool | None = None


class Cpu(NamedTuple):
    """`resources.cpu`; periods and run times in microseconds."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str | None = None
    mems: str | None = None


class Pids(NamedTuple):
    """`resources.pids`."""

    limit: int = 0


class BlockDevice(NamedTuple):
    """A weight or rate for one block device; rates in bytes or operations per second."""

    major: int = 0
    minor: int = 0
    weight: int | None = None
    leaf_weight: int | None = None
    rate: int | None = None


class BlockIo(NamedTuple):
    """`resources.blockio`."""

    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: tuple[BlockDevice, ...] | None = None
    throttle_read_bps_device: tuple[BlockDevice, ...] | None = None
    throttle_write_bps_device: tuple[BlockDevice, ...] | None = None
    throttle_read_iops_device: tuple[BlockDevice, ...] | None = None
    throttle_write_iops_device: tuple[BlockDevice, ...] | None = None


class HugepageLimit(NamedTuple):
    """An entry of `resources.hugepageLimits`; `page_size` like `2MB`, `limit` in bytes."""

    page_size: Id | None = None
    limit: int = 0


class Priority(NamedTuple):
    """An entry of `resources.network.priorities`."""

    name: str = ""
    priority: int = 0


class Network(NamedTuple):
    """`resources.network`."""

    class_id: int | None = None
    priorities: tuple[Priority, ...] | None = None


class Resources(NamedTuple):
    """`resources`."""

    devices: tuple[DeviceRule, ...] | None = None
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    blockio: BlockIo | None = None
    hugepage_limits: tuple[HugepageLimit, ...] | None = None
    network: Network | None = None


class IdMapping(NamedTuple):
    """An entry of `uidMappings` and `gidMappings`."""

    host_id: int = 0
    container_id: int = 0
    size: int = 0


class Interface(NamedTuple):
    """An entry of `runtime.interfaces`."""

    name: str | None = None
    add: str | None = None
    peer: str | None = None
    create_in_root: bool = False


class BindNs(NamedTuple):
    """`runtime.bindNS`: where each namespace is bound."""

    cgroup: str | None = None
    ipc: str | None = None
    mnt: str | None = None
    net: str | None = None
    pid: str | None = None
    user: str | None = None
    uts: str | None = None


class Runtime(NamedTuple):
    """`runtime`."""

    cgroups: Texts | None = None
    mounts: tuple[Mount, ...] | None = None
    mkdir: Texts | None = None
    interfaces: tuple[Interface, ...] | None = None
    bind_ns: BindNs | None = None
    namespace: str | None = None


class Dependency(NamedTuple):
    """An entry of `depends_on`: what a service waits for."""

    condition: str | None = None
    required: bool | None = None
    restart: bool | None = None


class Healthcheck(NamedTuple):
    """`healthcheck`; `test` begins with CMD, CMD-SHELL or NONE; times are durations as text."""

    test: Texts | None = None
    interval: str | None = None
    timeout: str | None = None
    retries: int | None = None
    start_period: str | None = None
    start_interval: str | None = None
    disable: bool | None = None


class Logging(NamedTuple):
    """`logging`: where a service's output goes."""

    driver: str | None = None
    options: Mapping[str, str] | None = None


class Settings(NamedTuple):
    """What a container gets; from the YAML, or from an image's label."""

    capabilities: Texts | None = None
    capabilities_add: Texts | None = None
    ambient: Texts | None = None
    mounts: tuple[Mount, ...] | None = None
    binds: Texts | None = None
    binds_add: Texts | None = None
    tmpfs: Texts | None = None
    devices: tuple[Device, ...] | None = None
    command: Texts | None = None
    env: Texts | None = None
    cwd: str | None = None
    net: str | None = None
    ipc: str | None = None
    uts: str | None = None
    pid: str | None = None
    userns: str | None = None
    hostname: str | None = None
    readonly: bool | None = None
    masked_paths: Texts | None = None
    readonly_paths: Texts | None = None
    seccomp: str | None = None
    uid: Id | None = None
    gid: Id | None = None
    additional_gids: tuple[Id, ...] | None = None
    no_new_privileges: bool | None = None
    oom_score_adj: int | None = None
    rootfs_propagation: str | None = None
    cgroups_path: str | None = None
    resources: Resources | None = None
    sysctl: Mapping[str, str] | None = None
    rlimits: Texts | None = None
    uid_mappings: tuple[IdMapping, ...] | None = None
    gid_mappings: tuple[IdMapping, ...] | None = None
    annotations: Mapping[str, str] | None = None
    runtime: Runtime | None = None
    depends_on: Mapping[str, Dependency] | None = None
    healthcheck: Healthcheck | None = None
    restart: str | None = None
    stop_signal: str | None = None
    stop_grace_period: str | None = None
    logging: Logging | None = None
    timeout: str | None = None
    on_failure: str | None = None
    unseal: bool | None = None


class ImageEntry(NamedTuple):
    """An entry of `onboot`, `onshutdown` or `services`."""

    name: str
    image: str
    settings: Settings = Settings()
    mark: Mark = Mark()


class DiskEscrow(NamedTuple):
    """`disk.escrow`: who keeps the recovery key."""

    address: str = ""
    key: str = ""


class Disk(NamedTuple):
    """`disk`: the data partition."""

    mountpoint: str = ""
    filesystem: str | None = None
    size: str | None = None
    device: str | None = None
    encrypt: str | None = None
    tpm: str | None = None
    pcrs: tuple[int, ...] | None = None
    strict: bool | None = None
    pin: bool | None = None
    recovery: bool | None = None
    escrow: DiskEscrow | None = None
    otherwise: str | None = None
    mark: Mark = Mark()


class Slots(NamedTuple):
    """`slots`: room for two versions of the system."""

    boot: str | None = None
    system: str | None = None
    timeout: str | None = None
    encrypt: str | None = None
    recovery: bool | None = None
    otherwise: str | None = None
    mark: Mark = Mark()


class UpdateData(NamedTuple):
    """`update.data`: which versions of its data this version of a system knows."""

    folder: str = ""
    reads: tuple[int, ...] | None = None
    writes: int | None = None
    one_way: bool | None = None


class UpdateHawkbit(NamedTuple):
    """`update.hawkbit`: a server that orders updates."""

    server: str = ""
    tenant: str | None = None
    controller: str | None = None
    target_token: str | None = None
    gateway_token: str | None = None
    folder: str = ""


class Update(NamedTuple):
    """`update`: what this version of a system is called."""

    compatible: str = ""
    version: str = ""
    downgrade: bool | None = None
    data: UpdateData | None = None
    keyring: str | None = None
    source: Texts | None = None
    hawkbit: UpdateHawkbit | None = None
    every: str | None = None
    window: str | None = None
    restart: bool | None = None
    mark: Mark = Mark()


class Install(NamedTuple):
    """`install`: which disk an installer takes, and what it does then."""

    disk: str | None = None
    min_size: str | None = None
    removable: bool | None = None
    unattended: bool | None = None
    erase: str | None = None
    then: str | None = None
    enrol: bool | None = None
    mark: Mark = Mark()


class Identity(NamedTuple):
    """An entry of `identities`: who was certified as the signer."""

    issuer: str = ""
    subject: str | None = None
    subject_pattern: str | None = None


class TrustRule(NamedTuple):
    """An entry of `trust.images`."""

    match: str = ""
    keys: Texts | None = None
    identities: tuple[Identity, ...] | None = None
    signed_name: str | None = None
    unsigned: bool | None = None
    reject: bool | None = None


class Trust(NamedTuple):
    """`trust`: who must have signed images. `org` and `image` are LinuxKit's lists; `keys` and
    `identities` count for them, and for rules without their own."""

    image: Texts | None = None
    org: Texts | None = None
    keys: Texts | None = None
    identities: tuple[Identity, ...] | None = None
    images: tuple[TrustRule, ...] | None = None
    default: str | None = None
    revoked: Texts | None = None
    log_keys: Texts | None = None
    authorities: Texts | None = None
    trusted_root: str | None = None
    mark: Mark = Mark()


class Expectation(NamedTuple):
    """An entry of `test`: one of the fields from `http` to `metric`, and what is expected of it."""

    name: str | None = None
    http: str | None = None
    exec: Texts | None = None
    console: str | None = None
    file: str | None = None
    service: str | None = None
    metric: str | None = None
    status: int | None = None
    contains: str | None = None
    within: str | None = None
    state: str | None = None
    most: str | int | None = None
    timeout: str | None = None
    fresh: bool | None = None
    mark: Mark = Mark()


class Budget(NamedTuple):
    """`budget`: what a system may have at most. `components` are sizes by the names that
    `compos inspect` shows."""

    total: str | None = None
    unpacked: str | None = None
    components: Mapping[str, str] | None = None
    boot: str | None = None
    capabilities: Texts | None = None
    mark: Mark = Mark()


class Config(NamedTuple):
    """A whole system, several files merged. `overlays` are parts for one architecture, by its name:
    `load` merges them."""

    kernel: Kernel | None = None
    init: Texts = ()
    onboot: tuple[ImageEntry, ...] = ()
    onshutdown: tuple[ImageEntry, ...] = ()
    services: tuple[ImageEntry, ...] = ()
    volumes: tuple[Volume, ...] = ()
    files: tuple[File, ...] = ()
    init_marks: tuple[Mark, ...] = ()
    overlays: "Mapping[str, Config] | None" = None
    confinement: str | None = None
    bricks: str | None = None
    trust: Trust | None = None
    secure: bool | None = None
    disk: Disk | None = None
    slots: Slots | None = None
    update: Update | None = None
    install: Install | None = None
    test: tuple[Expectation, ...] | None = None
    budget: Budget | None = None
