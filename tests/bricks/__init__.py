"""Tests of the bricks."""
