"""Tests of compos.compose."""
