"""Mutation fuzzing of what reads other people's bytes: `python -m tests.fuzz tar --seconds 60`, and
in CI for a short time."""
