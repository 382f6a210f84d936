"""What the services are called: as processes, as identities, as prefixes of their settings."""

CONNECTORS = ("pg_connector", "blob_connector", "file_connector")
# in the order of the design's ports, from 50050
NAMES = (
    "gateway",
    "credentials",
    "pg_connector",
    "blob_connector",
    "sandbox",
    "inference",
    "file_connector",
)
