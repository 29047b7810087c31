"""Tests of `compos.image`."""
