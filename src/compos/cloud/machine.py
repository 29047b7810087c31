"""Machines in clouds: what is asked for, what there is then, and the way of each from its start to
its end.

May touch: the cloud, through a provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol

from compos.cloud.model import Made
from compos.errors import CloudError, CloudMissing
from compos.progress import notice

__all__ = [
    "ATTEMPT", "MACHINE", "Machine", "MachineRequest", "Machines", "no_image", "run_machine",
    "text_of", "undone",
]  # fmt: skip

MACHINE = "compos-machine"
"""The tag that has the name of a machine that compos has started."""

ATTEMPT = "compos-attempt"
"""The tag of one start: by it, a start whose answer was lost finds what it has made."""

STOP_SECONDS = 24 * 3600
PAUSE = 5


class MachineRequest(NamedTuple):
    """A machine of `image` (an id, or a name as `push` takes it), called `name`.

    `size` and `zone` are the cloud's own words, empty for its default. `key` is an SSH public key,
    or what the cloud calls one that it has; `disks` are sizes in GiB of further disks. Without
    `public`, the machine has no address of the internet.
    """

    image: str
    name: str
    size: str = ""
    zone: str = ""
    data: bytes = b""
    key: str = ""
    disks: tuple[int, ...] = ()
    public: bool = True


class Machine(NamedTuple):
    """A machine that runs. `address` is empty for one that nobody can reach."""

    id: str
    name: str
    address: str = ""


class Machines(Protocol):
    """What can be done with machines at one cloud. All methods raise `CloudError`."""

    def start(self, request: MachineRequest) -> Machine:
        """Create a machine, and wait until it runs."""

    def console(self, machine: Machine) -> str:
        """What it has printed to its serial console."""

    def has_stopped(self, machine: Machine) -> bool:
        """Whether it has powered itself off."""

    def remove(self, id: str) -> None:
        """Delete a machine with all that was made for it, or anything else that `made` lists; what
        is gone already is no error."""

    def made(self) -> Iterable[Made]:
        """The machines with compos's tag, and what interrupted starts and ends have left."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


def run_machine(
    machines: Machines,
    request: MachineRequest,
    *,
    show: Callable[[Machine], None],
    print_console: Callable[[str], None],
    until_stopped: bool = False,
    remove: bool = False,
) -> Machine:
    """Start a machine and `show` it. `until_stopped` waits until it has powered off, and prints
    what it has said meanwhile; `remove` deletes it then, and after an interrupt.

    A machine that does not start is deleted. Raises `CloudError`.
    """
    machine = machines.start(request)
    try:
        show(machine)
        if until_stopped:
            _follow(machines, machine, print_console)
    finally:
        if remove:
            machines.remove(machine.id)
    return machine


@contextmanager
def undone(undo: Callable[[], None]) -> Iterator[None]:
    """Call `undo` if the block fails or is interrupted; the block's error is raised, whatever comes
    of it."""
    try:
        yield
    except BaseException:
        try:
            undo()
        except CloudError as error:
            notice(f"the machine could not be deleted ({error.message}); see compos clouds list")
        raise


def no_image(name: str, cloud: str, place: str | None = None) -> CloudMissing:
    """That nothing of this id or name can be started at `cloud`, a provider's name."""
    return CloudMissing(
        "cloud-missing",
        f"there is no image called {name}",
        place=place,
        hint=f"Push it: compos push {cloud}.",
    )


def text_of(data: bytes, cloud: str, most: int) -> str:
    """User data as the text of at most `most` bytes that `cloud` takes. Raises `CloudError`
    (`cloud-option`)."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CloudError("cloud-option", f"user data must be text in UTF-8 at {cloud}") from error
    if len(data) > most:
        raise CloudError(
            "cloud-option", f"{cloud} takes user data of {most} bytes, not of {len(data)}"
        )
    return text


def _follow(machines: Machines, machine: Machine, print_console: Callable[[str], None]) -> None:
    printed = ""
    waited = 0.0
    stopped = False
    while waited < STOP_SECONDS:
        text = ""
        # Consoles come and go; whether the machine runs is asked for by itself.
        with suppress(CloudError):
            text = machines.console(machine)
        if text and text != printed:
            # The cloud keeps the end of a long text.
            print_console(text.removeprefix(printed))
            printed = text
        if stopped:
            return
        stopped = machines.has_stopped(machine)
        if not stopped:
            machines.wait(PAUSE)
            waited += PAUSE
    raise CloudError("cloud-slow", "the machine has not stopped", place=machine.id)
