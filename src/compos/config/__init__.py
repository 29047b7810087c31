"""The YAML that describes a system: parsing, the typed model, validation."""
