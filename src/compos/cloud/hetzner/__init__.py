"""Hetzner Cloud, by its REST API and ssh."""
