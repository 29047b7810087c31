"""Partition tables and disk containers."""
