"""Tests of compos.run."""
