"""DigitalOcean, by its REST API and Spaces."""
