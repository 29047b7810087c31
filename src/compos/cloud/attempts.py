"""Whether an attempt to push, of which something is left in a cloud, still goes on.

May touch: the processes of this machine, which are asked whether they live.
"""

from __future__ import annotations

import os
import platform

from compos.cloud.model import resource_name

__all__ = ["has_ended", "this_host"]


def this_host() -> str:
    """What this machine is called in labels."""
    return resource_name(platform.node())


def has_ended(host: str, process: int) -> bool:
    """Whether what `process` of `host` has begun is nobody else's: it is this process, or one of
    this machine that has ended. Of other machines, nobody knows."""
    if host != this_host():
        return False
    if process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
