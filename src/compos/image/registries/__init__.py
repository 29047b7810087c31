"""Registries: the client, who may ask, mirrors, fetching and pushing images."""
