"""Tests of compos.package."""
