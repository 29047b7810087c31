"""compos: compose container images into a minimal, immutable, bootable Linux."""

__all__ = ["__version__"]

__version__ = "0.1.0"
