"""`compos dev`: a running guest follows what its YAML says (docs/dev.md)."""
