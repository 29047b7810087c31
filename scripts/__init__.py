"""What developers run: installing Debian packages, locking dependencies, making a release."""
