"""A tree as bytes: cpio and tar."""
