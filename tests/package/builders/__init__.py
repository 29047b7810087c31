"""Tests of compos.package.builders."""
