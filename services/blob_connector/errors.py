"""What goes wrong between this connector and Azure Blob Storage.

    Fault
    └── BlobFault
        ├── BadConfig
        ├── AuthenticationFailed
        ├── Forbidden
        ├── Unreachable
        ├── BlobNotFound
        ├── Archived
        ├── TooLarge
        ├── Changed
        ├── Torn
        ├── Unreadable
        ├── Exists
        └── TooSlow

None holds a secret: messages name account, container, blob and the kind of credential.
"""

from servicekit.status import Fault


class BlobFault(Fault):
    """Base of this tree. `fields` are what the reason documents."""

    def __init__(self, message: str, *, remedy: str = "", **fields: str) -> None:
        super().__init__(message, remedy=remedy)
        self._fields = fields

    def metadata(self) -> dict[str, str]:
        return dict(self._fields)


class BadConfig(BlobFault):
    """The settings or secrets of the source do not make a connection."""


class AuthenticationFailed(BlobFault):
    """The account refused the credentials."""


class Forbidden(BlobFault):
    """The credentials are good, a right is missing."""


class Unreachable(BlobFault):
    """No answer from the account, after retries."""


class BlobNotFound(BlobFault):
    """No such blob, or nothing that a pattern matches."""


class Archived(BlobFault):
    """The blob lies in the archive tier and has to be rehydrated first."""


class TooLarge(BlobFault):
    """Over a size limit; told before bytes moved."""


class Changed(BlobFault):
    """The blob changed while it was read."""


class Torn(BlobFault):
    """What arrived is not what was sent, after retries."""


class Unreadable(BlobFault):
    """The bytes are not what the name says."""


class Exists(BlobFault):
    """A blob of this name is there, and overwriting was not asked for."""


class TooSlow(BlobFault):
    """The time that the request or the grant allows is over."""
