"""Tests of compos.filesystem."""
