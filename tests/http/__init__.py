"""Tests of compos.http."""
