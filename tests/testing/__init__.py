"""Tests of `compos.testing`."""
