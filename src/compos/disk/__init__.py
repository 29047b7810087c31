"""Bytes as disks: partition tables, and the containers that hypervisors and clouds want."""
