"""Builders of Dockerfiles: BuildKit, a Docker Engine, buildah, behind one protocol."""
