"""The YAML's schema as data: which keys there are, what type each has, which field of the model it fills.

The tables drive decoding, "did you mean", and whatever describes the schema to others. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compos.config import model

__all__ = ["CONFIG", "SETTINGS", "Field", "ListOf", "Record", "Scalar"]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value. `kinds` are those of `scalars.kind_of`; `least` and `most` bound integers."""

    kinds: tuple[str, ...]
    least: int | None = None
    most: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListOf:
    """A sequence of equal things."""

    item: Any


@dataclass(frozen=True, slots=True)
class TextMap:
    """A mapping from string to string."""


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record: the field of the model that it fills, and its type."""

    name: str
    type: Any
    required: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with known keys, made into `model`."""

    model: type
    fields: Mapping[str, Field]


TEXT = Scalar(("string",))
BOOLEAN = Scalar(("boolean",))
INTEGER = Scalar(("integer",), -(2**63), 2**63 - 1)
UNSIGNED = Scalar(("integer",), 0, 2**64 - 1)
WEIGHT = Scalar(("integer",), 0, 2**16 - 1)
ID = Scalar(("string", "integer"), 0, 2**32 - 1)
TEXTS = ListOf(TEXT)
IDS = ListOf(ID)
MAP = TextMap()


def _record(made: type, /, **fields: Any) -> Record:
    """A record whose keys are field names, or `key=("field", type)` where the two differ."""
    table = {}
    for key, value in fields.items():
        name, kind = value if isinstance(value, tuple) else (key, value)
        table[key.replace("__", ".")] = Field(name, kind)
    return Record(made, table)


MOUNT = _record(
    model.Mount,
    type=TEXT,
    source=TEXT,
    destination=TEXT,
    options=TEXTS,
    uidmappings=("", ListOf(MAP)),
    gidmappings=("", ListOf(MAP)),
)
DEVICE = _record(model.Device, path=TEXT, type=TEXT, major=INTEGER, minor=INTEGER, mode=TEXT)
ID_MAPPING = _record(
    model.IdMapping,
    hostID=("host_id", UNSIGNED),
    containerID=("container_id", UNSIGNED),
    size=UNSIGNED,
)
DEVICE_RULE = _record(model.DeviceRule, allow=BOOLEAN, type=TEXT, major=INTEGER, minor=INTEGER, access=TEXT)
MEMORY = _record(
    model.Memory,
    limit=INTEGER,
    reservation=INTEGER,
    swap=INTEGER,
    kernel=INTEGER,
    kernelTCP=("kernel_tcp", INTEGER),
    swappiness=UNSIGNED,
    disableOOMKiller=("disable_oom_killer", BOOLEAN),
)
CPU = _record(
    model.Cpu,
    shares=UNSIGNED,
    quota=INTEGER,
    period=UNSIGNED,
    realtimeRuntime=("realtime_runtime", INTEGER),
    realtimePeriod=("realtime_period", UNSIGNED),
    cpus=TEXT,
    mems=TEXT,
)
_WEIGHTS = ListOf(
    _record(model.BlockDevice, major=INTEGER, minor=INTEGER, weight=WEIGHT, leafWeight=("leaf_weight", WEIGHT))
)
_RATES = ListOf(_record(model.BlockDevice, major=INTEGER, minor=INTEGER, rate=UNSIGNED))
BLOCK_IO = _record(
    model.BlockIo,
    weight=WEIGHT,
    leafWeight=("leaf_weight", WEIGHT),
    weightDevice=("weight_device", _WEIGHTS),
    throttleReadBpsDevice=("throttle_read_bps_device", _RATES),
    throttleWriteBpsDevice=("throttle_write_bps_device", _RATES),
    throttleReadIOPSDevice=("throttle_read_iops_device", _RATES),
    throttleWriteIOPSDevice=("throttle_write_iops_device", _RATES),
)
NETWORK = _record(
    model.Network,
    classID=("class_id", Scalar(("integer",), 0, 2**32 - 1)),
    priorities=ListOf(_record(model.Priority, name=TEXT, priority=UNSIGNED)),
)
RESOURCES = _record(
    model.Resources,
    devices=ListOf(DEVICE_RULE),
    memory=MEMORY,
    cpu=CPU,
    pids=_record(model.Pids, limit=INTEGER),
    blockio=BLOCK_IO,
    hugepageLimits=(
        "hugepage_limits",
        ListOf(_record(model.HugepageLimit, pageSize=("page_size", Scalar(("string", "integer"))), limit=UNSIGNED)),
    ),
    network=NETWORK,
)
RUNTIME = _record(
    model.Runtime,
    cgroups=TEXTS,
    mounts=ListOf(MOUNT),
    mkdir=TEXTS,
    interfaces=ListOf(
        _record(model.Interface, name=TEXT, add=TEXT, peer=TEXT, createInRoot=("create_in_root", BOOLEAN))
    ),
    bindNS=("bind_ns", _record(model.BindNs, cgroup=TEXT, ipc=TEXT, mnt=TEXT, net=TEXT, pid=TEXT, user=TEXT, uts=TEXT)),
    namespace=TEXT,
)
SETTINGS = _record(
    model.Settings,
    capabilities=TEXTS,
    capabilities__add=("capabilities_add", TEXTS),
    ambient=TEXTS,
    mounts=ListOf(MOUNT),
    binds=TEXTS,
    binds__add=("binds_add", TEXTS),
    devices=ListOf(DEVICE),
    tmpfs=TEXTS,
    command=TEXTS,
    env=TEXTS,
    cwd=TEXT,
    net=TEXT,
    pid=TEXT,
    ipc=TEXT,
    uts=TEXT,
    userns=TEXT,
    hostname=TEXT,
    readonly=BOOLEAN,
    maskedPaths=("masked_paths", TEXTS),
    readonlyPaths=("readonly_paths", TEXTS),
    uid=ID,
    gid=ID,
    additionalGids=("additional_gids", IDS),
    noNewPrivileges=("no_new_privileges", BOOLEAN),
    oomScoreAdj=("oom_score_adj", Scalar(("integer",), -1000, 1000)),
    rootfsPropagation=("rootfs_propagation", TEXT),
    cgroupsPath=("cgroups_path", TEXT),
    resources=RESOURCES,
    sysctl=MAP,
    rlimits=TEXTS,
    uidMappings=("uid_mappings", ListOf(ID_MAPPING)),
    gidMappings=("gid_mappings", ListOf(ID_MAPPING)),
    annotations=MAP,
    runtime=RUNTIME,
)
"""Fields that YAML entries and image labels share; keys in the order in which documents are printed."""

ENTRY = Record(
    model.ImageEntry,
    {"name": Field("name", TEXT, required=True), "image": Field("image", TEXT, required=True), **SETTINGS.fields},
)
KERNEL = _record(model.Kernel, image=TEXT, cmdline=TEXT, binary=TEXT, tar=TEXT, ucode=TEXT)
FILE = _record(
    model.File,
    path=TEXT,
    directory=BOOLEAN,
    symlink=TEXT,
    contents=TEXT,
    source=TEXT,
    metadata=TEXT,
    optional=BOOLEAN,
    mode=TEXT,
    uid=ID,
    gid=ID,
)
VOLUME = _record(
    model.Volume,
    name=TEXT,
    image=TEXT,
    readonly=BOOLEAN,
    format=Scalar(("string",), choices=("filesystem", "oci")),
    platforms=TEXTS,
)
CONFIG = _record(
    model.Config,
    kernel=KERNEL,
    init=TEXTS,
    onboot=ListOf(ENTRY),
    onshutdown=ListOf(ENTRY),
    services=ListOf(ENTRY),
    files=ListOf(FILE),
    volumes=ListOf(VOLUME),
    trust=("", _record(dict, image=TEXTS, org=TEXTS)),
)
"""The whole file. `trust` is accepted and ignored, as in LinuxKit."""
