"""Whether what a statement names may be run by a reader, by what the catalog says of it."""

from services.pg_connector.allowed import ALLOWED
from services.pg_connector.denied import is_denied
from services.pg_connector.named import Named

_SUPERUSERS_OWN = ("c", "internal")
_READABLE = ("sql", "plpgsql")
REMEDY_VOLATILE = "If it only reads, have its owner declare it STABLE or IMMUTABLE."
REMEDY_OTHER = "Write the query without it."


def refusal(found: Named, *, nested: bool) -> str:
    """What is wrong with a function; "" for nothing so far: where it has a body that can be read,
    that is still to be judged. `nested` = a view, a policy or another function calls it."""
    if found.what != "function":
        return ""
    if found.of_server or found.of_extension:
        return _of_others(found, nested=nested)
    if found.prokind == "p":
        return "is a procedure"
    if found.volatility == "v":
        return "is volatile, so it may do more than read"
    if found.definer and not nested:
        return "runs with the rights of its owner (SECURITY DEFINER)"
    if found.language not in (*_SUPERUSERS_OWN, *_READABLE):
        return f"is written in {found.language}, which cannot be looked through"
    return ""


def _of_others(found: Named, *, nested: bool) -> str:
    """What came with the server or an extension goes by its name."""
    if is_denied(found.own_name):
        return "does more than read"
    if found.raw and found.key[0] in ("function", "attribute"):
        return "takes the internal form of a value"
    if found.volatility == "v" and not (found.own_name in ALLOWED or _of_a_type(found)):
        return "is volatile, so it may do more than read"
    if found.definer and not nested:
        return "runs with the rights of its owner (SECURITY DEFINER)"
    return ""


def _of_a_type(found: Named) -> bool:
    """Reads or writes values of an extension's type, which is C and a superuser's."""
    return found.key[0] == "type" and found.language in _SUPERUSERS_OWN


def remedy(why: str) -> str:
    return REMEDY_VOLATILE if "volatile" in why else REMEDY_OTHER


def takes(found: Named, counts: frozenset[int]) -> bool:
    """Whether one of the calls can be of this overload."""
    named_so = found.what == "function" and found.key[0] in ("function", "attribute")
    direct = named_so and found.own_name == found.key[2]
    return not direct or any(found.fewest <= count <= found.most for count in counts)
