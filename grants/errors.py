"""Why a grant is refused.

GrantError
├── GrantMalformed     not a grant at all: torn, of another audience, claims of the wrong kind
├── GrantForged        the signature does not stand
│   └── KeyUnknown     … because the key it names is not known (yet)
├── GrantExpired
├── GrantRevoked
├── GrantUnbound       it names other settings than the secret was stored for
└── BeyondGrant        sound, but it does not reach that far
"""

from datetime import datetime


class GrantError(Exception):
    """A grant that cannot be used. The text is safe for the caller: it never holds the token."""


class GrantMalformed(GrantError):
    def __init__(self, problem: str) -> None:
        super().__init__(f"the grant cannot be read: {problem}")
        self.problem = problem


class GrantForged(GrantError):
    def __init__(self, problem: str = "its signature does not stand") -> None:
        super().__init__(f"the grant is not genuine: {problem}")
        self.problem = problem


class KeyUnknown(GrantForged):
    def __init__(self, key_id: str) -> None:
        super().__init__("it is signed with an unknown key")
        self.key_id = key_id


class GrantExpired(GrantError):
    def __init__(self, expired_at: datetime) -> None:
        super().__init__(f"the grant expired at {expired_at.isoformat(timespec='seconds')}")
        self.expired_at = expired_at


class GrantRevoked(GrantError):
    """`kind` is what was revoked: "grant", "source", "run" or "owner"."""

    def __init__(self, kind: str, revoked_at: datetime) -> None:
        super().__init__(f"the grant is void: its {kind} was revoked")
        self.kind = kind
        self.revoked_at = revoked_at


class GrantUnbound(GrantError):
    def __init__(self, source_id: str) -> None:
        super().__init__(
            f"the grant names other settings than the secret of source {source_id} was stored for"
        )
        self.source_id = source_id


class BeyondGrant(GrantError):
    def __init__(self, operation: str, path: str | None, allowed: str) -> None:
        where = "" if path is None else f' "{path}"'
        super().__init__(f"the grant does not allow to {operation}{where}: it allows {allowed}")
        self.operation = operation
        self.path = path
        self.allowed = allowed
