"""The client for asyncio. The blocking one is made from it, by `dev/blocking.py`. What both share
is in the modules above, what differs by nature in `transport`."""
