"""vCenter, by its REST API."""
