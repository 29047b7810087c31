"""Tests of compos.tree."""
