"""OCI images: references, registries, and the content store on disk."""
