"""Metrics from what a kernel says, and from what it would never say."""

from __future__ import annotations

import pytest

from compos.errors import RunError
from compos.testing.metrics import Metrics, ServiceMetrics, measure

FILES = {
    "/proc/meminfo": "MemTotal: 475848 kB\nMemFree: 1 kB\nMemAvailable:     417348 kB\n",
    "/proc/stat": "cpu  176 1 700 2 3 4 14 0 0 0\ncpu0 176 0 700 2 0 0 14 0 0 0\nintr 2669\n",
    "/proc/192/cgroup": "1:name=systemd:/a\n0::/services/web\n",
    "/sys/fs/cgroup/services/web/memory.current": "237568\n",
    "/sys/fs/cgroup/services/web/memory.peak": "262144\n",
    "/sys/fs/cgroup/services/web/cpu.stat": "usage_usec 139337\nuser_usec 37156\n",
    "/sys/fs/cgroup/services/web/pids.current": "2\n",
}
SERVICES = {
    "web": {"state": "running", "pid": 192, "restarts": 3, "since": 15.25},
    "ended": {"state": "exited", "pid": 0, "restarts": 1, "since": 2.5},
}


def test_what_a_kernel_says() -> None:
    assert measure(SERVICES, lambda path: FILES[path].encode()) == Metrics(
        (475848 - 417348) * 1024,
        8.95,
        4,
        15.25,
        {
            "web": ServiceMetrics(237568, 262144, 0.139337, 2, 3, 15.25),
            "ended": ServiceMetrics(0, 0, 0.0, 0, 1, 2.5),
        },
    )


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("/proc/meminfo", ""),
        ("/proc/meminfo", "MemTotal:\nMemAvailable: 1 kB"),
        ("/proc/meminfo", f"MemTotal: {'9' * 5000} kB\nMemAvailable: 1 kB"),
        ("/proc/stat", "cpu a b c d e f g"),
        ("/proc/192/cgroup", "4:memory:/web\n"),  # version 1
        ("/proc/192/cgroup", "0::/a\0b\n"),
        ("/sys/fs/cgroup/services/web/memory.current", "-1"),
        ("/sys/fs/cgroup/services/web/memory.peak", "\x1b[2J"),
        ("/sys/fs/cgroup/services/web/cpu.stat", "usage_usec"),
        ("/sys/fs/cgroup/services/web/pids.current", "\xff"),
    ],
)
def test_what_it_would_not_say(place: str, text: str) -> None:
    said = {**FILES, place: text}
    with pytest.raises(RunError) as caught:
        measure(SERVICES, lambda path: said[path].encode("latin-1"))
    assert caught.value.id == "metrics-unreadable"
