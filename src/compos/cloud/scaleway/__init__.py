"""Scaleway, by its REST APIs and its object storage."""
