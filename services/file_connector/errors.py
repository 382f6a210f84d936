"""What goes wrong between this connector and the folders of its machine.

    FileFault                       connectorkit.files.errors
    └── FolderFault
        ├── BadConfig
        ├── RootNotAllowed
        ├── Unreachable
        ├── Forbidden
        ├── NoSuchFile
        ├── Changed
        ├── Exists
        └── NoRoom

Messages name the root and what lies beneath it, never where the root lies on the machine.
"""

from connectorkit.files.errors import FileFault


class FolderFault(FileFault):
    """Base of this tree."""


class BadConfig(FolderFault):
    """The settings of the source name no folder."""


class RootNotAllowed(FolderFault):
    """The operator has not allowed the root that a source names."""

    def __init__(self, root: str, known: tuple[str, ...]) -> None:
        if known:
            why = f"there is no root {root!r}; there is {', '.join(known)}"
            remedy = "Choose one of these, or have the root added to ROOTS of the connector."
        else:
            why = "no folder of the machine may be read: the operator has allowed none"
            remedy = (
                "Have ISOBATH_FILE_CONNECTOR_ROOTS set, such as reports=/srv/reports, and the "
                "connector started again."
            )
        super().__init__(why, remedy=remedy, setting="ISOBATH_FILE_CONNECTOR_ROOTS")


class Unreachable(FolderFault):
    """The root is not there, or does not answer."""


class Forbidden(FolderFault):
    """The system, or the rules of this connector, do not let it be read or written."""


class NoSuchFile(FolderFault):
    """No such file or folder, or nothing that a pattern matches."""


class Changed(FolderFault):
    """The file changed while it was read."""


class Exists(FolderFault):
    """A file of this name is there, and overwriting was not asked for."""


class NoRoom(FolderFault):
    """The disk, or a quota on it, is full."""
