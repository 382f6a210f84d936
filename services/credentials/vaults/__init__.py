"""Where the secrets of sources lie."""
