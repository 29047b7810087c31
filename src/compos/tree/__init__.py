"""The one model of a filesystem: nodes by path, contents as slices of stored blobs."""
