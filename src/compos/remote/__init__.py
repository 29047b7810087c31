"""The remote cache: what builds derive from images, shared through a registry."""
