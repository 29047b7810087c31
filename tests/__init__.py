"""Tests of compos; the folders mirror those of the package."""
