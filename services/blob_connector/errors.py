"""What goes wrong between this connector and Azure Blob Storage.

    FileFault                       connectorkit.files.errors
    └── BlobFault
        ├── BadConfig
        ├── AddressNotAllowed
        ├── AuthenticationFailed
        ├── Forbidden
        ├── Unreachable
        ├── BlobNotFound
        ├── Archived
        ├── Changed
        ├── Torn
        └── Exists

None holds a secret: messages name account, container, blob and the kind of credential.
"""

from connectorkit.files.errors import FileFault


class BlobFault(FileFault):
    """Base of this tree."""


class BadConfig(BlobFault):
    """The settings or secrets of the source do not make a connection."""


class AddressNotAllowed(BlobFault):
    """The deployment does not let this connector connect there."""

    remedy = "Use an account that the deployment allows, or have it added to ALLOWED_HOSTS."

    def __init__(self, host: str, why: str) -> None:
        super().__init__(
            f"the platform does not connect to {host}: {why}",
            remedy=self.remedy,
            setting="ISOBATH_BLOB_CONNECTOR_ALLOWED_HOSTS",
        )


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


class Changed(BlobFault):
    """The blob changed while it was read."""


class Torn(BlobFault):
    """What arrived is not what was sent, after retries."""


class Exists(BlobFault):
    """A blob of this name is there, and overwriting was not asked for."""


class TooSlow(BlobFault):
    """The time that the request or the grant allows is over."""
