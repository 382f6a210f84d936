"""Where the bytes of files lie: a folder, or a container of Azure Blob Storage."""
