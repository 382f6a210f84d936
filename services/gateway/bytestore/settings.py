"""ISOBATH_GATEWAY_FILES_…"""

from dataclasses import dataclass
from typing import Literal

from servicekit.secrets import Secret

Identity = Literal["", "workload_identity", "managed_identity"]


@dataclass(frozen=True)
class FilesSettings:
    """Where the bytes of files lie."""

    # a container of Azure Blob Storage, such as https://ACCOUNT.blob.core.windows.net/CONTAINER, or
    # https://HOST/ACCOUNT/CONTAINER where the account stands in the path; it has to be there, and
    # be this gateway's alone; empty = a folder in home
    url: str = ""
    # of the account; one of four ways to sign in, with the three that follow
    connection_string: Secret | None = None
    # of the account: key1 or key2
    account_key: Secret | None = None
    # of the container or account, with the rights to read, write, delete and list (sp=rwdl)
    sas_token: Secret | None = None
    # this process's own: workload_identity (AKS) or managed_identity (a machine of Azure); it needs
    # the role Storage Blob Data Contributor on the container
    identity: Identity = ""
    # which one, where there are several; empty = the one that the platform names
    client_id: str = ""
    # where Microsoft Entra is asked for tokens; empty = as the platform says, or the public cloud
    authority: str = ""
    # a PEM file of the authorities to trust instead of the system's own, as for a proxy that breaks
    # TLS
    ca_file: str = ""
    # again after 1, 3, 5 … s, where the fault may pass
    retries: int = 4
    # in seconds
    connect_timeout_s: float = 10.0
    # without a byte, in seconds
    read_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        ways = [self.connection_string, self.account_key, self.sas_token, self.identity]
        given = sum(bool(each) for each in ways)
        if given != (1 if self.url else 0):
            raise ValueError(
                "URL needs one of CONNECTION_STRING, ACCOUNT_KEY, SAS_TOKEN and IDENTITY; "
                "without URL none of them means anything"
            )
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ValueError("URL expects https://ACCOUNT.blob.core.windows.net/CONTAINER")
        if self.identity and not self.url.startswith("https://"):
            raise ValueError("IDENTITY needs a URL of https: a token is only sent over TLS")
        if self.retries < 0:
            raise ValueError("RETRIES expects 0 or more")
