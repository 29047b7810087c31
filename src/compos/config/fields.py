"""The YAML's tables: each key with its type, what it means, and the field of the model that it
fills.

They drive decoding, "did you mean", printing (keys in the order of docs/linuxkit.md#3.8) and the
published JSON schema. Pure.
"""

from __future__ import annotations

from compos.config import check, model
from compos.config.budget_keys import BUDGET
from compos.config.disk_keys import DISK
from compos.config.install_keys import INSTALL
from compos.config.kinds import (
    Flag,
    Identity,
    ListOf,
    Number,
    Text,
    TextMap,
    Words,
    key,
    table,
)
from compos.config.service_keys import SERVICE_KEYS
from compos.config.slot_keys import SLOTS
from compos.config.test_keys import TEST
from compos.config.trust_keys import TRUST
from compos.config.update_keys import UPDATE

__all__ = ["CONFIG", "ENTRY", "SETTINGS"]

TEXT = Text()
TEXTS = ListOf(TEXT)
PATHS = ListOf(Text(check.absolute_path))
FLAG = Flag()
SIGNED = Number(-(2**63), 2**63 - 1)
UNSIGNED = Number(0, 2**64 - 1)
UNSIGNED_32 = Number(0, 2**32 - 1)
WEIGHT = Number(0, 2**16 - 1)
IDENTITY = Identity(0, 2**32 - 1)
OCTAL = Text(check.octal, pattern=check.OCTAL)
CAPABILITIES = ListOf(Text(check.capability), check.capabilities)
BINDS = ListOf(Text(check.bind))
IMAGE = Text(check.image)
OPTIONAL_IMAGE = Text(check.optional_image)

ID_MAPPING = table(
    model.IdMapping,
    "A range of ids.",
    key("hostID", UNSIGNED_32, "First id outside the container."),
    key("containerID", UNSIGNED_32, "First id inside the container."),
    key("size", UNSIGNED_32, "Number of ids."),
)
_MOUNT_FIELDS = (
    key("destination", TEXT, "Mount point."),
    key("type", TEXT, "File system type, or bind."),
    key("source", TEXT, "Device, folder or, for a bind mount, the name of a volume.", always=""),
    key("options", TEXTS, "Mount options.", always=()),
    key(
        "uidmappings",
        ListOf(ID_MAPPING),
        "Accepted for compatibility with LinuxKit; ignored.",
        name="",
        always=(),
    ),
    key(
        "gidmappings",
        ListOf(ID_MAPPING),
        "Accepted for compatibility with LinuxKit; ignored.",
        name="",
        always=(),
    ),
)
MOUNT = table(
    model.Mount,
    "A mount of the container; missing fields are completed for well-known types.",
    *_MOUNT_FIELDS,
    complaints=check.mount,
)
RUNTIME_MOUNT = table(
    model.Mount,
    "A mount that is made before the container starts.",
    *_MOUNT_FIELDS,
    name="RuntimeMount",
)
DEVICE = table(
    model.Device,
    "A device node in the container.",
    key("path", TEXT, "Path of the node, or `all` to allow every device of the type."),
    key("type", TEXT, "a, b, c, u or p."),
    key("major", Number(-1, 2**32 - 1), "Major number [0]."),
    key("minor", Number(-1, 2**32 - 1), "Minor number [0]."),
    key("mode", OCTAL, "Permissions in octal, in quotes; required unless the path is `all`."),
    complaints=check.device,
)
DEVICE_RULE = table(
    model.DeviceRule,
    "A rule of the devices control group.",
    key("allow", FLAG, "Allow or deny."),
    key("type", TEXT, "a, b or c."),
    key("major", SIGNED, "Major number [any]."),
    key("minor", SIGNED, "Minor number [any]."),
    key("access", TEXT, "Letters from rwm."),
)
MEMORY = table(
    model.Memory,
    "Memory limits in bytes; -1 is unlimited.",
    key("limit", SIGNED, "Limit of memory."),
    key("reservation", SIGNED, "Soft limit."),
    key("swap", SIGNED, "Limit of memory and swap."),
    key("kernel", SIGNED, "Limit of kernel memory."),
    key("kernelTCP", SIGNED, "Limit of memory for TCP buffers."),
    key("swappiness", UNSIGNED, "Tendency to swap, 0 to 100."),
    key("disableOOMKiller", FLAG, "Do not kill processes when memory runs out."),
)
CPU = table(
    model.Cpu,
    "CPU limits; times in microseconds.",
    key("shares", UNSIGNED, "Relative weight."),
    key("quota", SIGNED, "CPU time within a period."),
    key("period", UNSIGNED, "Length of a period."),
    key("realtimeRuntime", SIGNED, "Real-time CPU time within a period."),
    key("realtimePeriod", UNSIGNED, "Length of a real-time period."),
    key("cpus", TEXT, "CPUs, as a list of ranges: 0-3,7."),
    key("mems", TEXT, "Memory nodes, as a list of ranges."),
)
PIDS = table(
    model.Pids, "Limit of processes.", key("limit", SIGNED, "Maximum number of processes [0].")
)
WEIGHT_DEVICE = table(
    model.BlockDevice,
    "Weight of one block device.",
    key("major", SIGNED, "Major number [0]."),
    key("minor", SIGNED, "Minor number [0]."),
    key("weight", WEIGHT, "Weight, 10 to 1000."),
    key("leafWeight", WEIGHT, "Weight relative to child groups."),
    name="WeightDevice",
)
RATE_DEVICE = table(
    model.BlockDevice,
    "Rate limit of one block device.",
    key("major", SIGNED, "Major number [0]."),
    key("minor", SIGNED, "Minor number [0]."),
    key("rate", UNSIGNED, "Bytes or operations per second."),
    name="RateDevice",
)
BLOCK_IO = table(
    model.BlockIo,
    "Limits of block devices.",
    key("weight", WEIGHT, "Weight, 10 to 1000."),
    key("leafWeight", WEIGHT, "Weight relative to child groups."),
    key("weightDevice", ListOf(WEIGHT_DEVICE), "Weights by device."),
    key("throttleReadBpsDevice", ListOf(RATE_DEVICE), "Bytes read per second."),
    key("throttleWriteBpsDevice", ListOf(RATE_DEVICE), "Bytes written per second."),
    key("throttleReadIOPSDevice", ListOf(RATE_DEVICE), "Reads per second."),
    key("throttleWriteIOPSDevice", ListOf(RATE_DEVICE), "Writes per second."),
)
HUGEPAGE_LIMIT = table(
    model.HugepageLimit,
    "Limit of huge pages of one size.",
    key("pageSize", Identity(0, 2**63 - 1), "Size of the pages, such as 2MB or 1GB."),
    key("limit", UNSIGNED, "Bytes in such pages [0]."),
)
NETWORK = table(
    model.Network,
    "Marks of network traffic.",
    key("classID", UNSIGNED_32, "Class of the container's packets."),
    key(
        "priorities",
        ListOf(
            table(
                model.Priority,
                "Priority of one interface.",
                key("name", TEXT, "Interface."),
                key("priority", UNSIGNED_32, "Priority [0]."),
            )
        ),
        "Priorities by interface.",
    ),
)
RESOURCES = table(
    model.Resources,
    "Control group limits of the container.",
    key("devices", ListOf(DEVICE_RULE), "Rules of the devices group."),
    key("memory", MEMORY, "Memory."),
    key("cpu", CPU, "CPU."),
    key("pids", PIDS, "Processes."),
    key("blockio", BLOCK_IO, "Block devices."),
    key("hugepageLimits", ListOf(HUGEPAGE_LIMIT), "Huge pages."),
    key("network", NETWORK, "Network traffic."),
)
INTERFACE = table(
    model.Interface,
    "A network interface that is created for the container or moved into it.",
    key("name", TEXT, "Name of the interface."),
    key("add", TEXT, "Type of a new interface (veth, wireguard, ...)."),
    key("peer", TEXT, "Name of the other end of the veth."),
    key("createInRoot", FLAG, "Create it in the root namespace, then move it [false]."),
)
BIND_NS = table(
    model.BindNs,
    "Files to which the container's namespaces are bound.",
    *(
        key(kind, TEXT, f"Path for the {kind} namespace.")
        for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    ),
)
RUNTIME = table(
    model.Runtime,
    "Actions before the container starts.",
    key("cgroups", TEXTS, "Control groups to create."),
    key("mounts", ListOf(RUNTIME_MOUNT), "Mounts to make, exactly as written."),
    key("mkdir", TEXTS, "Folders to create."),
    key("interfaces", ListOf(INTERFACE), "Network interfaces."),
    key("bindNS", BIND_NS, "Files to bind namespaces to."),
    key("namespace", TEXT, "containerd namespace [services.linuxkit]."),
)
_NAMESPACE = "{} namespace: host, root, new, or the path of one [{}]."
_SHARED = (
    "{} namespace: host, root, new, the path of one, or service:NAME to share that service's [{}]."
)
SETTINGS = table(
    model.Settings,
    "Settings that an entry of the YAML and the image label org.mobyproject.config can both "
    "contain.",
    key("capabilities", CAPABILITIES, "Capabilities (CAP_...), or all, or none."),
    key(
        "capabilities.add", CAPABILITIES, "Capabilities in addition to those in the image's label."
    ),
    key("ambient", CAPABILITIES, "Ambient capabilities."),
    key("mounts", ListOf(MOUNT), "Mounts."),
    key(
        "binds", BINDS, "Bind mounts, SOURCE:DESTINATION[:OPTIONS]; a source without / is a volume."
    ),
    key("binds.add", BINDS, "Bind mounts in addition to those in the image's label."),
    key("devices", ListOf(DEVICE), "Device nodes."),
    key("tmpfs", ListOf(Text(check.tmpfs)), "tmpfs mounts, DESTINATION[:OPTIONS]."),
    key("command", TEXTS, "Program and arguments [the image's entrypoint and command]."),
    key("env", TEXTS, "The whole environment, NAME=VALUE [the image's]."),
    key("cwd", TEXT, "Working folder [the image's, else /]."),
    key(
        "net",
        TEXT,
        "Network namespace: host, root, new, none, the path of one, or service:NAME to share that "
        "service's [root].",
    ),
    key("pid", TEXT, _SHARED.format("Process", "new")),
    key("ipc", TEXT, _SHARED.format("IPC", "root")),
    key("uts", TEXT, _SHARED.format("Host name", "root")),
    key("userns", TEXT, _NAMESPACE.format("User", "root")),
    key("hostname", Text(check.host_name), "Host name; requires a separate uts namespace."),
    key(
        "readonly",
        FLAG,
        "Mount the root file system read-only, with a place for each bind and mount [false].",
    ),
    key("maskedPaths", PATHS, "Paths that cannot be read [depends on confinement]."),
    key(
        "readonlyPaths",
        PATHS,
        "Paths that cannot be written; if set, /sys is writable [depends on confinement].",
    ),
    key(
        "seccomp",
        Text(check.seccomp),
        "System calls: default, unconfined, or the path of a profile in the system [default].",
    ),
    key("uid", IDENTITY, "User: a number, or the name of a container [0]."),
    key("gid", IDENTITY, "Group: a number, or the name of a container [0]."),
    key("additionalGids", ListOf(IDENTITY), "Additional groups."),
    key("noNewPrivileges", FLAG, "Programs gain no privileges by exec [depends on confinement]."),
    key("oomScoreAdj", Number(-1000, 1000), "Preference for being killed when memory runs out."),
    key("rootfsPropagation", TEXT, "Mount propagation of the root file system."),
    key("cgroupsPath", TEXT, "Control group of the container."),
    key("resources", RESOURCES, "Control group limits."),
    key("sysctl", TextMap(), "Kernel parameters in the container's namespaces; values in quotes."),
    key("rlimits", ListOf(Text(check.rlimit)), "Limits, NAME,SOFT,HARD."),
    key("uidMappings", ListOf(ID_MAPPING), "User ids of a separate user namespace."),
    key("gidMappings", ListOf(ID_MAPPING), "Group ids of a separate user namespace."),
    key("annotations", TextMap(), "Annotations in config.json."),
    key("runtime", RUNTIME, "Actions before the container starts."),
    *SERVICE_KEYS,
)
ENTRY = table(
    model.ImageEntry,
    "A container.",
    key("name", Text(check.container_name), "Name of the container.", required=True),
    key("image", IMAGE, "Image, or @pkg:FOLDER.", required=True),
    *SETTINGS.fields.values(),
)
KERNEL = table(
    model.Kernel,
    "The kernel.",
    key("image", OPTIONAL_IMAGE, "Image with the kernel.", always=""),
    key("cmdline", TEXT, "Kernel command line."),
    key("binary", TEXT, "Path of the kernel in the image [kernel]."),
    key("tar", TEXT, "Path of a tar with modules to unpack to /, or none [kernel.tar]."),
    key("ucode", TEXT, "Path of a cpio with CPU microcode."),
    key(
        "modules",
        Words(),
        "Kernel modules to include, by name or wildcard; auto: those that images and formats need "
        "[all].",
    ),
    key(
        "firmware",
        Words(),
        "Firmware files to include, below lib/firmware; auto: those that included modules name "
        "[all].",
    ),
)
FILE = table(
    model.File,
    "A file, folder or symbolic link in the root file system.",
    key("path", TEXT, "Path in the root file system.", required=True),
    key("directory", FLAG, "Create a folder [false]."),
    key("symlink", TEXT, "Create a symbolic link with this target."),
    key("contents", Text(nul=True), "Contents of the file."),
    key(
        "source",
        TEXT,
        "File on this machine to copy, relative to the folder in which you run compos.",
    ),
    key(
        "metadata", Text(choices=("", "yaml", "json")), "Write the system's own YAML or JSON here."
    ),
    key("optional", FLAG, "Skip the file if the source is missing [false]."),
    key("mode", OCTAL, "Permissions in octal, in quotes ['0600', folders '0700']."),
    key("uid", IDENTITY, "Owner: a number, or the name of a container [0]."),
    key("gid", IDENTITY, "Group: a number, or the name of a container [0]."),
    complaints=check.file,
)
VOLUME = table(
    model.Volume,
    "A folder that containers share.",
    key(
        "name",
        Text(check.volume_name, pattern=check.VOLUME_NAME),
        "Name of the volume.",
        required=True,
    ),
    key("image", OPTIONAL_IMAGE, "Image with the initial contents [empty]."),
    key("readonly", FLAG, "Read-only for containers [false]."),
    key(
        "format",
        Text(choices=("filesystem", "oci")),
        "The image unpacked (filesystem), or as an OCI layout (oci) [filesystem].",
    ),
    key(
        "platforms",
        ListOf(Text(check.platform)),
        "Platforms of an oci volume, OS/ARCH[/VARIANT] [all].",
    ),
)
_SECTIONS = (
    key("kernel", KERNEL, "The kernel."),
    key("init", ListOf(IMAGE), "Images to unpack to /, in order."),
    key("onboot", ListOf(ENTRY), "Containers to run one after another at boot."),
    key("onshutdown", ListOf(ENTRY), "Containers to run one after another at power-off."),
    key("services", ListOf(ENTRY), "Containers that run as long as the system does."),
    key("files", ListOf(FILE), "Files to create in the root file system."),
    key("volumes", ListOf(VOLUME), "Folders that containers share."),
    key("trust", TRUST, "Who must have signed images (docs/trust.md)."),
    key("secure", FLAG, "Only what is signed and verified starts (docs/secure-boot.md) [false]."),
    key("disk", DISK, "The data partition (docs/secure.md)."),
    key("slots", SLOTS, "Room for two versions of the system (docs/update.md)."),
    key("update", UPDATE, "What updates of the system are called (docs/update-bundles.md)."),
    key("install", INSTALL, "Which disk an installer takes (docs/install.md)."),
    key("test", ListOf(TEST), "What `compos test` expects of the booted system (docs/testing.md)."),
    key("budget", BUDGET, "What the system may have at most (docs/insight.md)."),
    key(
        "confinement",
        Text(choices=check.CONFINEMENTS),
        "Default confinement of containers: default (docs/confinement.md), or linuxkit for "
        "LinuxKit's [default].",
    ),
    key(
        "bricks",
        Text(check.bricks),
        "`linuxkit` replaces LinuxKit's packages with our bricks; HOST/PATH is a registry that "
        "bricks are taken from, unless --bricks names another.",
    ),
)
OVERLAY = table(model.Config, "Keys for one architecture.", *_SECTIONS, name="Overlay")
OVERLAYS = table(
    dict,
    "Parts for one architecture, merged over the file that contains them.",
    *(key(name, OVERLAY, f"Only for {name}.") for name in check.ARCHITECTURES),
    name="Overlays",
)
CONFIG = table(
    model.Config,
    "A system: LinuxKit's YAML.",
    *_SECTIONS,
    key(
        "include",
        ListOf(Text(check.included)),
        "YAML files to merge before this one; paths are relative to it.",
        name="",
    ),
    key(
        "variables",
        TextMap(),
        "Values of variables, `${NAME}`, unless --set overrides them.",
        name="",
    ),
    key("arch", OVERLAYS, "Parts for one architecture, merged over this file.", name="overlays"),
)
