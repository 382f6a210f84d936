"""What may need a person's approval: a source's owner says it of the source, a request of its run.
Pure."""

from collections.abc import Iterable

from isobath.analyst.v1 import analyst_pb2 as analyst
from servicekit.status import InvalidField

Guards = frozenset["analyst.GuardedOperation"]
NONE: Guards = frozenset()
GUARDED = {
    "query": analyst.GUARDED_OPERATION_QUERY,
    "write": analyst.GUARDED_OPERATION_WRITE,
}


def guards_of(words: Iterable[object], field: str = "approval") -> Guards:
    """From words as HTTP and the tables have them. Raises `InvalidField`."""
    given = list(words)
    if not all(isinstance(each, str) and each in GUARDED for each in given):
        raise InvalidField(field, f"{field} may hold {' and '.join(GUARDED)}")
    return frozenset(GUARDED[str(each)] for each in given)


def guarded(operations: Iterable["analyst.GuardedOperation"], field: str = "approval") -> Guards:
    """From the contract. Raises `InvalidField`."""
    given = frozenset(operations)
    if not given <= set(GUARDED.values()):
        raise InvalidField(field, f"{field} holds an operation that is not known here")
    return given


def words_of(guards: Guards) -> list[str]:
    """As HTTP and the tables have them."""
    return [word for word, operation in GUARDED.items() if operation in guards]
