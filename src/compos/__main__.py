"""`python -m compos`."""

from compos.cli.main import run

run()
