"""Tests of compos.cli."""
