"""Where a source connects, as a fingerprint that a stored secret and a grant are compared by."""

import hashlib
import json
from collections.abc import Mapping

from grants.claims import Grant, Json


def binding(source_type: str, config: Mapping[str, Json]) -> str:
    """SHA-256 of the type and the settings, whatever the order of their keys. A whole number is the
    same as an integer and as a float, for a Struct knows floats only."""
    value = {"type": source_type, "config": whole_numbers(dict(config))}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def binding_of(grant: Grant) -> str:
    return binding(grant.source_type, grant.config)


def whole_numbers(value: Json) -> Json:
    """A port is to come out of a Struct as it went in."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole_numbers(inner) for inner in value]
    return value
