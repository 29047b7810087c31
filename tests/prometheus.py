"""Metrics as Prometheus reads them: by the parser of its own Python client (Debian's, so that it is
no dependency of ours)."""

from __future__ import annotations

import json
import subprocess

from tests.machine import leave_out

__all__ = ["Samples", "parsed"]

PARSER = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = text_string_to_metric_families(sys.stdin.read())
print(json.dumps([[s.name, s.labels, s.value] for family in families for s in family.samples]))
"""


class Samples:
    """By name and labels; none stands there twice."""

    def __init__(self, text: str) -> None:
        command = ["/usr/bin/python3", "-c", PARSER]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if "No module named 'prometheus_client'" in done.stderr:
            leave_out("tools: python3-prometheus-client is not installed (make packages)")
        assert done.returncode == 0, done.stderr
        self._values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for name, labels, value in json.loads(done.stdout):
            key = (name, frozenset(labels.items()))
            assert key not in self._values, key
            self._values[key] = value

    def value(self, name: str, /, **labels: str) -> float:
        """The sample with exactly these labels."""
        return self._values[name, frozenset(labels.items())]

    def has(self, name: str, /, **labels: str) -> bool:
        return (name, frozenset(labels.items())) in self._values


def parsed(text: str) -> Samples:
    """Fails on what Prometheus would refuse."""
    return Samples(text)
