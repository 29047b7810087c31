"""The clouds of `compos push` and `compos run`: one file each, with a command for each verb that it
has. They are imported when they are called."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["CLOUDS", "PROVIDERS", "provider_command"]

PROVIDERS = {
    "aws": "Amazon Web Services: an AMI of EC2.",
    "azure": "Azure: a managed image, or a version in a gallery.",
    "gcp": "Google Cloud: an image of Compute Engine.",
    "openstack": "OpenStack: an image of Glance.",
    "digitalocean": "DigitalOcean: a custom image.",
    "equinixmetal": "Equinix Metal: what became of it.",
    "hetzner": "Hetzner Cloud: a snapshot.",
    "scaleway": "Scaleway: an image.",
    "vcenter": "VMware vCenter: an item of a content library.",
    "registry": "A registry: an OCI artifact.",
}
"""What `--help` says of each."""

CLOUDS = {
    "aws": "Amazon Web Services: an instance of EC2.",
    "azure": "Azure: a virtual machine.",
    "gcp": "Google Cloud: an instance of Compute Engine.",
    "openstack": "OpenStack: a server of Nova.",
    "digitalocean": "DigitalOcean: a Droplet.",
    "hetzner": "Hetzner Cloud: a server.",
    "scaleway": "Scaleway: an Instance.",
    "vcenter": "VMware vCenter: a virtual machine.",
}
"""Those that run machines."""


def provider_command(name: str, verb: str) -> click.Command | None:
    """The command `verb` of the provider `name`, imported now; None if it has none."""
    if name not in PROVIDERS:
        return None
    found: click.Command | None = getattr(import_module(f"compos.cli.providers.{name}"), verb, None)
    return found
