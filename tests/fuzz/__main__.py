"""`python -m tests.fuzz [TARGET...] [--seconds N] [--seed S]`: fuzz targets one after another and
tell what was found."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.engine import fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run; the exit status says whether something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], default=[])
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, help="folder for the inputs that were found")
    options = parser.parse_args()
    found = 0
    for name in options.targets or TARGETS:
        count, findings = fuzz(TARGETS[name], seed=options.seed, seconds=options.seconds)
        print(f"{name}: {count} inputs, seed {options.seed}, {len(findings)} findings", flush=True)
        for finding in findings:
            found += 1
            print(
                f"--- {len(finding.data)} bytes: {finding.data[:200]!r}\n{finding.what}", flush=True
            )
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / f"{name}-{found}").write_bytes(finding.data)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
