"""A system's parts (kernel, init, containers, files) as one tree."""
