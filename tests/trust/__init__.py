"""Tests of compos.trust."""
