"""What API keys are hashed under, as text. Pure."""

KEY_FILE = "key_hash"
_HEX = "hex:"


def read_key(text: str) -> bytes:
    """As settings and backups have it: any text, or `hex:` and digits. Raises `ValueError`."""
    if not text.startswith(_HEX):
        return text.encode()
    try:
        return bytes.fromhex(text.removeprefix(_HEX))
    except ValueError:
        raise ValueError("KEY_HASH expects hexadecimal digits behind hex:") from None


def written_key(key: bytes) -> str:
    """So that `read_key` gives the same bytes."""
    return _HEX + key.hex()
