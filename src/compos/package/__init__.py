"""Package directories to images: bricks from Debian packages and our own sources."""
