"""Processes that end with this one, however it ends: a guest and what serves it, even if somebody
kills compos in the middle of its clean-up.

A shell waits at the other end of a pipe, which closes with this process, and then ends the
processes that it was told of. Linux's own signal for this (PR_SET_PDEATHSIG, prctl(2)) comes when
the thread that has started a child ends, not the process, and cannot be taken back from outside.
May touch: starts that shell, and the processes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

__all__ = ["Guard"]

WATCH = r"""
trap '' HUP INT QUIT TERM
starting=
while read -r word; do
    case $word in
    leave) exit 0 ;;
    start) starting=1 ;;
    *) set -- "$@" "$word"; starting= ;;
    esac
done
if [ -n "$starting" ]; then
    sleep 0.5
    set -- "$@" $(grep -lsz "^COMPOS_GUARD=$$\$" /proc/[0-9]*/environ | cut -d / -f 3)
fi
for tries in 1 2 3 4 5; do
    some=
    for process; do if kill -TERM "$process"; then some=1; fi; done
    if [ -z "$some" ]; then exit 0; fi
    sleep 1
done
for process; do kill -KILL "$process"; done
"""
"""Reads a process id a line; at the end of the pipe it ends them, with five seconds for those that
have something to put in order. One that was being started is found by its environment, half a
second later, for until then it has ours. Signals that this process gets are none of its."""
PATIENCE = 5.0


class Guard:
    """Ends the processes that it has started when it is closed, or when this process ends."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        watched, self._pipe = os.pipe()
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", WATCH, "guard"],
                stdin=watched,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(watched)

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process, with `options` of `subprocess.Popen`. Raises `OSError`."""

        mark = {"COMPOS_GUARD": str(self._shell.pid)}
        options["env"] = {**(options.get("env") or os.environ), **mark}

        def start() -> subprocess.Popen[bytes]:
            self._tell(b"start\n")
            process = subprocess.Popen(command, **options)
            self._processes.append(process)
            self._tell(b"%d\n" % process.pid)
            return process

        # What a signal's handler raises comes in the main thread, and so never in between.
        with ThreadPoolExecutor(1, "guard") as thread:
            return thread.submit(start).result()

    def close(self) -> None:
        """End the processes that still run: those that do not within `PATIENCE` seconds, by
        force."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.release()

    def release(self) -> None:
        """Let those that still run go on when this is closed, or this process ends."""
        self._processes.clear()
        if self._pipe >= 0:
            # Those that have ended leave their numbers to others.
            self._tell(b"leave\n")
            os.close(self._pipe)
            self._pipe = -1
            self._shell.wait()

    def _tell(self, line: bytes) -> None:
        with suppress(BrokenPipeError):
            os.write(self._pipe, line)
