"""Images in folders and files of this machine: OCI layouts and what `docker save` writes."""
