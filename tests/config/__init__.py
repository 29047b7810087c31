"""Tests of the YAML: reading, checking, merging, printing."""
