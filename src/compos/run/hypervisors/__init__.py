"""Hypervisors other than QEMU alone, each a pure function from a machine to a plan: the files,
commands and console that make it, run it and remove it."""
