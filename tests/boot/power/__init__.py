"""Disks that lose power or fail: recorded in a guest, cut at every moment, judged by others."""
