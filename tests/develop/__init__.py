"""Tests of `compos dev` without a guest."""
