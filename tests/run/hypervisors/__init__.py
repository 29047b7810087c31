"""Hypervisors other than QEMU alone."""
