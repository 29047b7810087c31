"""Debian packages without apt: a mirror's signed indexes, dependencies, package files.

    mirror ─▶ release ─▶ index ─▶ solver ─▶ archive
    (where)  (signed)   (names)   (which)   (files)

`control`, `version`, `relation` and `package` are Debian's notations; `download` brings files from
a mirror.
"""
