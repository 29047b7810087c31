"""HTTP for everything that downloads or uploads: one client, whoever asks. Knows nothing of
registries, Debian or YAML."""
