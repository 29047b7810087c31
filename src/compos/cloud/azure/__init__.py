"""Azure, by azure-identity, azure-storage-blob and the REST API of the Resource Manager."""
