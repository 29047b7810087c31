"""The named output formats, each a short recipe over the folders to the left."""
