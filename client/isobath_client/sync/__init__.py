"""The blocking client, made from `isobath_client.aio` by `python -m dev.blocking`; only `transport`
is written by hand."""
