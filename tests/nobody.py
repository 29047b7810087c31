"""Do something as the user nobody, in a child of this process: interpreter and checkout may lie in
root's own folder."""

from __future__ import annotations

import os
from collections.abc import Callable

NOBODY = 65534


def as_nobody(action: Callable[[], int]) -> int:
    """What `action` returns, below 256, in a forked child that has become nobody. It must import
    nothing new.

    A child that ends by an exception, which is printed, gives 255.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 255
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        status = action()
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)
