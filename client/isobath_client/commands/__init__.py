"""The `isobath` command, by noun; `isobath_client.cli` puts it together."""
