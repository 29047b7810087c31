"""Tests of compos.output."""
