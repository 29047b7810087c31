"""Tests of compos.remote."""
