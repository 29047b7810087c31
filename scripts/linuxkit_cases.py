"""LinuxKit's own test cases: what each looks for, which of our tests shows the same, and, where its
YAML can be built and booted untouched, who judges that. `make linuxkit-tests` runs them and writes
docs/linuxkit-tests.md.
"""

from __future__ import annotations

from typing import NamedTuple

from scripts.linuxkit_dockerfiles import Package, packages
from scripts.linuxkit_judges import (
    Judge,
    booted,
    cidata,
    files,
    input_tar,
    login,
    mkimage,
    refused,
    twice,
)

__all__ = ["CASES", "Case"]


class Case(NamedTuple):
    """`name` is the folder below test/cases, or names a group of so many `cases`. `shown` are our
    tests, by file below `tests`. If there is no `judge`, `why`."""

    name: str
    looks_for: str
    shown: tuple[str, ...]
    judge: Judge | None = None
    why: str = ""
    cases: int = 1


DOCKERFILE = "its Dockerfiles take images of a registry for which there is no stand-in"
CHAINED = "its Dockerfiles name packages by the hashes of LinuxKit's own git"
HASHES = "its scripts make repositories of packages, and compare hashes"
NOT_LISTED = "its script reads a disk that `devices` does not list: runc refuses that"
MAC = "macOS's hypervisor"
NO_SHELL = "its script runs in the image that it tries, and the brick has no shell"
OTHERS_KERNEL = "Debian's kernels are built otherwise"
MATRIX = ("boot/test_matrix.py::test_it_boots",)
BUILDERS = "package/builders/test_linuxkit_cases.py"
DISKS = "boot/test_disk_bricks.py::test_files_stay_over_two_boots"
FORCED = "boot/test_disk_bricks.py::test_a_named_disk_is_kept_unless_forced"
CRYPT = ("boot/test_disk_bricks.py::test_encrypted_disks",)
HABITS = ("boot/test_linuxkit_habits.py::test_memlogd_gets_all_that_containers_say",)
NEXT_BOOT = "boot/test_bricks.py::test_acpid_and_swap_on_the_next_boot"
VOLUMES = ("boot/test_confinement.py::test_volumes",)
FORMATS = {
    "kernel+initrd": ("-kernel", "-initrd.img", "-cmdline"),
    "iso-bios": (".iso",),
    "iso-efi": ("-efi.iso",),
    "iso-efi-initrd": ("-efi-initrd.iso",),
    "gcp": (".img.tar.gz",),
    "aws": (".raw",),
    "vhd": (".vhd",),
    "vmdk": (".vmdk",),
    "raw-bios": ("-bios.img",),
    "raw-efi": ("-efi.img",),
    "qcow2-bios": (".qcow2",),
    "kernel+squashfs": ("-kernel", "-squashfs.img", "-cmdline"),
    "kernel+iso": ("-kernel", ".iso", "-cmdline"),
    "kernel+erofs": ("-kernel", "-erofs.img", "-cmdline"),
}

_BUILDS = (
    Case("000_formats/…", "files of each format", MATRIX, files(FORMATS), cases=14),
    Case(
        "001_tarheaders",
        "the tar says of each entry which image it is from",
        ("output/test_build.py::test_tar_has_everything_once_with_its_source",),
        twice("tar", ".tar"),
    ),
    Case(
        "010_reproducible/000_tar",
        "two builds are the same",
        ("output/test_formats.py::test_reproducible_to_the_bit",),
        twice("tar", ".tar"),
    ),
    Case(
        "010_reproducible/002_kernel+initrd",
        "two builds are the same",
        ("output/test_formats.py::test_reproducible_to_the_bit",),
        twice("kernel+initrd", *FORMATS["kernel+initrd"]),
    ),
    Case(
        "010_reproducible/004_input_tar",
        "a build from an earlier tar is the same",
        ("cli/test_input_tar.py::test_the_same_yaml_gives_the_same_bytes_without_any_image",),
        input_tar,
    ),
    Case(
        "020_binds",
        "`binds.add` keeps the label's binds",
        ("boot/test_small_examples.py::test_a_login_with_a_password",),
        why=NO_SHELL,
    ),
    Case(
        "030_build_args",
        "arguments of builds",
        (f"{BUILDERS}::test_arguments_and_chained_builds",),
        packages(Package(passes=1)),
    ),
    Case(
        "031_fixed_build_args",
        "the builder's own arguments: source, revision, Go's version of the package",
        (
            f"{BUILDERS}::test_arguments_and_chained_builds",
            "package/test_arguments.py::test_presets",
        ),
        packages(Package(passes=3)),
    ),
    Case(
        "040…042_chained_builds…",
        "a package that is built from another",
        (f"{BUILDERS}::test_arguments_and_chained_builds", f"{BUILDERS}::test_both_architectures"),
        why=CHAINED,
        cases=3,
    ),
    Case(
        "050_sbom",
        "the system's SBOM, with those of its packages",
        (
            "compose/test_sbom_builds.py::test_a_tar_has_it_without_records",
            "package/builders/test_builders.py::test_an_sbom_by_buildkits_scanner",
        ),
        why=DOCKERFILE,
    ),
    Case(
        "055_dockerfiles/…",
        "which Dockerfile is taken: build.yml's, the flag's, the usual one",
        ("package/test_arguments.py::test_another_dockerfile",),
        packages(
            Package("000_missing_in_yml", builds=False),
            Package("001_missing_in_yml_found_cli", ("--dockerfile", "Dockerfile")),
            Package("002_found_in_yml_missing_cli", ("--dockerfile", "nosuchfile"), builds=False),
            Package("003_default"),
        ),
        cases=4,
    ),
    Case(
        "056_build_args/…",
        "arguments from build.yml and a file; names of packages in them",
        (
            "package/test_arguments.py::test_precedence",
            "package/test_arguments.py::test_names_of_packages",
        ),
        why=HASHES,
        cases=6,
    ),
    Case(
        "057_pkg_tag/…",
        "a tag from build.yml and from the flag",
        (f"{BUILDERS}::test_tags_and_image_names", "package/test_tag.py::test_flags"),
        packages(
            Package("000_tag_yaml", tagged="file"),
            Package("001_tag_cli", ("--tag", "cli"), tagged="cli"),
            Package("002_tag_cli_over_yaml", ("--tag", "cli"), tagged="cli", untagged="file-new"),
        ),
        cases=3,
    ),
    Case(
        "060_input_tar/…",
        "only what has changed is built anew; the tar is not its own result",
        (
            "cli/test_input_tar.py::test_what_has_changed_is_built_anew",
            "cli/test_input_tar.py::test_the_result_does_not_replace_the_tar",
        ),
        why="it compares the words of LinuxKit's log",
        cases=2,
    ),
    Case(
        "070_volumes/000_rw_on_rw",
        "what one container writes, the next reads",
        HABITS,
        booted(),
    ),
    Case("070_volumes/001_ro_on_ro", "nobody writes to it", VOLUMES, booted()),
    Case(
        "070_volumes/002_rw_on_ro",
        "a writable bind of a read-only volume does not build",
        ("conformance/test_validation.py::test_refused",),
        refused,
    ),
    Case("070_volumes/003_ro_on_rw", "nobody writes to a bind with `ro`", VOLUMES, booted()),
    Case(
        "070_volumes/004_blank",
        "it is empty",
        ("conformance/test_layout.py::test_volumes",),
        booted(),
    ),
    Case(
        "070_volumes/005_image",
        "it has the image's files",
        ("boot/test_small_examples.py::test_examples_that_share_a_guest",),
        booted(),
    ),
    Case(
        "070_volumes/006_mount_types",
        "a volume in `binds`, `mounts` and `binds.add` (with LinuxKit, `mounts` fails unnoticed)",
        HABITS,
        booted(times=3),
    ),
    Case(
        "080_mirrors",
        "a mirror serves, or, if it does not answer, nothing builds",
        (
            "image/test_session.py::test_mirror_keeps_the_name",
            "image/test_session.py::test_a_mirror_that_does_not_serve_is_passed_over",
        ),
        why="it needs a registry with LinuxKit's images",
    ),
    Case(
        "090_validate_build_yaml, 091_validate_linuxkit_yaml",
        "unknown keys (their scripts cannot fail)",
        ("conformance/test_validation.py::test_refused",),
        why="it has no YAML to boot",
        cases=2,
    ),
    Case(
        "100_examples/…",
        "ten of the examples build",
        ("docs/test_linuxkit_examples.py::test_a_row_says_what_is_looked_for",),
        why="[all examples](linuxkit-examples.md) are built and booted",
        cases=10,
    ),
)

_WELCOME = "Welcome to compos"
_PLATFORMS = (
    Case(
        "000_qemu/000_run_kernel+initrd",
        "it boots and powers itself off",
        MATRIX,
        booted(says=_WELCOME),
    ),
    Case(
        "000_qemu/005_run_kernel+squashfs",
        "a root on a SquashFS disk",
        MATRIX,
        booted(says=_WELCOME, form="kernel+squashfs"),
    ),
    Case(
        "000_qemu/010_run_iso",
        "a CD boots",
        MATRIX,
        booted(says=_WELCOME, form="iso-bios", suffix=".iso"),
    ),
    Case(
        "000_qemu/030_run_qcow_bios",
        "a QCOW2 disk boots",
        MATRIX,
        booted(says=_WELCOME, form="qcow2-bios", suffix=".qcow2"),
    ),
    Case(
        "000_qemu/020_run_efi, 040_run_raw_bios, 050_run_aws, 060_run_raw_efi",
        "a CD and disks boot, by UEFI and BIOS (the scripts for UEFI are switched off)",
        MATRIX,
        why="the same system as that of 030, in other formats",
        cases=4,
    ),
    Case("000_qemu/100_container", "QEMU in a container", (), why="LinuxKit has it no more"),
    Case("010_hyperkit/000, 005", "it boots", MATRIX, why=MAC, cases=2),
    Case("010_hyperkit/010_acpi", "ACPI's button ends it", (NEXT_BOOT,), why=MAC),
    Case(
        "110_gcp/000_run",
        "it boots in Google's cloud",
        ("cloud/test_faults.py::test_a_failure_that_passes_is_not_noticed",),
        why="it needs an account",
    ),
)

_KERNELS = (
    Case(
        "011…022_config_…",
        "options of LinuxKit's kernels; file systems",
        ("boot/test_filesystems.py::test_a_kernel_reads_them", DISKS),
        why=OTHERS_KERNEL,
        cases=5,
    ),
    Case(
        "111…122_kmod_…",
        "a module that is built for the kernel loads",
        ("boot/test_kernels.py::test_a_module_of_ones_own",),
        why=DOCKERFILE,
        cases=5,
    ),
    Case(
        "211…222_tags_…",
        "the labels of LinuxKit's kernel images",
        (),
        why="kernels are no images of a builder here: a recipe names Debian's package",
        cases=5,
    ),
    Case(
        "200_namespace/…",
        "veth pairs and sockets under load, for days, without a kernel's backtrace",
        ("boot/test_services.py::test_services_share_a_namespace",),
        why="it tests the kernel; its scripts call `run` with a flag that is none any more",
        cases=67,
    ),
)

_SECURITY = (
    Case("000_docker-bench", "nothing", (), why="it is switched off"),
    Case(
        "010_ports",
        "nothing listens (what looks for it is commented out)",
        (*HABITS, "boot/test_confinement.py::test_a_read_only_root_gets_places_for_its_binds"),
        why="its container starts, but Debian's BusyBox has no `netstat -p`",
    ),
)

_PACKAGES = (
    Case(
        "001_dummy",
        "a package that is only in the cache",
        ("package/test_local.py::test_every_image_can_be_a_template",),
        booted(says=_WELCOME),
    ),
    Case(
        "002_bcc, 002_bpftrace",
        "their tools run (both are switched off)",
        (NEXT_BOOT,),
        why="bpftrace is a brick, bcc is none: bpftrace does the same without a compiler",
        cases=2,
    ),
    Case("002_binfmt", "programs of other architectures are known", (NEXT_BOOT,), booted()),
    Case(
        "003_ca-certificates",
        "the certificates are in the root",
        HABITS,
        booted(),
    ),
    Case("003_cgroupv2", "control groups of version 2", HABITS, booted()),
    Case(
        "003_containerd",
        "containerd's own tests pass",
        ("boot/test_services.py::test_containerd_and_its_shims_may_die",),
        why="Debian runs them when it builds the package",
    ),
    Case("004_dhcpcd", "an address by DHCP", ("boot/test_web.py::test_web",), booted()),
    Case("004_dm-crypt/000_simple", "an encrypted disk", CRYPT, booted("32M")),
    Case("004_dm-crypt/001_luks", "an encrypted disk with a header", CRYPT, booted("32M")),
    Case("004_dm-crypt/002_key", "a key file elsewhere", CRYPT, booted("32M")),
    *(
        Case(
            f"005_extend/{name}",
            f"{kind} grows with its disk, and keeps its files",
            (DISKS,),
            # XFS is no smaller than 300 MiB; after its growth, its script wants 400 to 599.
            booted("256M" if kind != "XFS" else "320M", first="test-create.yml"),
        )
        for name, kind in (
            ("000_ext4", "ext4"),
            ("001_btrfs", "Btrfs"),
            ("002_xfs", "XFS"),
            ("003_gpt", "ext4 in a GPT"),
        )
    ),
    *(
        Case(f"006_format_mount/{name}", looks_for, (test,), booted("512M"))
        for name, looks_for, test in (
            ("000_auto", "the first blank disk is formatted and mounted", DISKS),
            ("001_by_label", "mounted by its label", DISKS),
            ("002_by_name", "formatted and mounted by its name", FORCED),
            ("003_btrfs", "Btrfs", DISKS),
            ("004_xfs", "XFS", DISKS),
            ("006_gpt", "a GPT", DISKS),
        )
    ),
    Case(
        "006_format_mount/005_by_device_force",
        "what is formatted stays, unless forced",
        (FORCED,),
        why=NO_SHELL,
    ),
    Case(
        "006_format_mount/010_multiple", "two disks, two labels", (DISKS,), booted("512M", "512M")
    ),
    Case(
        "007_getty-containerd",
        "a login with a password; `ctr` pulls and runs an image",
        (
            "boot/test_small_examples.py::test_a_login_with_a_password",
            "boot/test_container_node.py::test_pods_have_a_network",
        ),
        login,
    ),
    Case(
        "009_init_containerd",
        "containerd's options from a file",
        ("boot/test_services.py::test_containerd_and_its_shims_may_die",),
        booted(),
    ),
    Case(
        "011_kmsg",
        "the kernel's messages in a log file",
        ("boot/test_logs.py::test_logs",),
        booted(),
    ),
    Case("012_logwrite", "log files rotate", ("boot/test_logs.py::test_logs",), booted()),
    Case(
        "012_losetup",
        "a file as a block device",
        ("boot/test_bricks.py::test_losetup",),
        why=NOT_LISTED,
    ),
    Case(
        "013_metadata/000_cidata",
        "user data on a CD",
        ("boot/test_metadata.py::test_a_cd_and_a_cloud", "boot/test_metadata.py::test_disks"),
        cidata,
    ),
    Case(
        "013_mkimage",
        "a system makes a disk that boots",
        ("boot/test_mkimage.py::test_a_disk_made_in_a_guest_boots",),
        mkimage,
    ),
    Case("019_sysctl", "the kernel's settings", ("boot/test_web.py::test_web",), booted()),
    Case(
        "023_wireguard",
        "a tunnel between two namespaces; `poweroff` in a service; `onshutdown`",
        ("boot/test_examples.py::test_wireguard", "boot/test_web.py::test_web"),
        booted(),
    ),
    Case(
        "025_auth",
        "base images from a registry with a password",
        (f"{BUILDERS}::test_credentials_of_base_images",),
        why=DOCKERFILE,
    ),
    Case(
        "026_buildkit_config",
        "the builder's container is kept, or replaced if its settings change",
        (f"{BUILDERS}::test_a_builder_in_a_container",),
        why="it needs Docker's engine",
    ),
)

CASES = tuple(
    case._replace(name=f"{group}/{case.name}")
    for group, cases in (
        ("000_build", _BUILDS),
        ("010_platforms", _PLATFORMS),
        ("020_kernel", _KERNELS),
        ("030_security", _SECURITY),
        ("040_packages", _PACKAGES),
    )
    for case in cases
)
