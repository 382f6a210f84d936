"""What a caller may do: three scopes, each with all of the one before it. Pure."""

from enum import IntEnum

from services.gateway.errors import NotAllowed


class Scope(IntEnum):
    """The numbers are those of analyst.v1.Scope."""

    READ_ONLY = 1
    ANALYST = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        """As HTTP and the command line say it."""
        return self.name.lower().replace("_", "-")


WORDS = {scope.word: scope for scope in Scope}


def require(has: Scope, needs: Scope) -> None:
    """Raises `NotAllowed`."""
    if has < needs:
        raise NotAllowed(f"this key is {has.word}; this takes {needs.word}", needs.word)
