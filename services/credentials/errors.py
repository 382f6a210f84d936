"""What can go wrong here.

CredentialsFault
├── SecretNotFound
├── NoModelKey
├── VersionConflict
├── VaultFault
│   ├── VaultUnavailable    away, sealed or too busy; a retry may help
│   └── VaultRefused        it does not let this service do it; somebody has to change its policy
├── StoreAway               its database does not answer; a retry may help
├── StoreDamaged            a record that does not decrypt to what it should be
└── WatcherTooSlow          it is cut off and takes the whole list anew

StoreUnusable               at the start only: wrong key, open files, in use (a SettingsError)
"""

from servicekit.settings import SettingsError
from servicekit.status import Fault


class CredentialsFault(Fault):
    pass


class SecretNotFound(CredentialsFault):
    remedy = "Store the secret of the source first."

    def __init__(self, source_id: str) -> None:
        super().__init__(f"there is no secret for source {source_id}")
        self.source_id = source_id

    def metadata(self) -> dict[str, str]:
        return {"kind": "secret", "id": self.source_id}


class NoModelKey(CredentialsFault):
    remedy = "Set ISOBATH_CREDENTIALS_MODEL_KEY to where the model server's key lies."

    def __init__(self) -> None:
        super().__init__("the credential service has no key of a model server")

    def metadata(self) -> dict[str, str]:
        return {"kind": "secret", "id": "model key"}


class VersionConflict(CredentialsFault):
    remedy = "Read the version again and retry."

    def __init__(self, source_id: str, expected: int | None, stored: int | None) -> None:
        wanted = "" if expected is None else f": expected version {expected}"
        there = "" if stored is None else f", stored is {stored}"
        super().__init__(f"the secret of source {source_id} changed meanwhile{wanted}{there}")
        self.source_id = source_id

    def metadata(self) -> dict[str, str]:
        return {"kind": "secret", "id": self.source_id}


class VaultFault(CredentialsFault):
    def metadata(self) -> dict[str, str]:
        return {"service": "vault"}


class VaultUnavailable(VaultFault):
    remedy = "Try again shortly; if it lasts, see whether Vault is up and unsealed."
    retry_after_s = 1.0


class VaultRefused(VaultFault):
    remedy = "Give the token of the credential service a policy for its folder in Vault."


class StoreAway(CredentialsFault):
    remedy = "Try again shortly; if it lasts, see whether the credential service's database is up."
    retry_after_s = 1.0

    def __init__(self, why: str) -> None:
        super().__init__("the credential service cannot reach its database", why)

    def metadata(self) -> dict[str, str]:
        return {"service": "credentials' database"}


class StoreDamaged(CredentialsFault):
    remedy = "Store the secret of the source anew."

    def __init__(self, what: str) -> None:
        super().__init__(f"the stored record of {what} is damaged")


class WatcherTooSlow(CredentialsFault):
    remedy = "Connect again."

    def __init__(self) -> None:
        super().__init__("revocations were not read fast enough")

    def metadata(self) -> dict[str, str]:
        return {"limit": "unread revocations"}

    retry_after_s = 0.1


class StoreUnusable(SettingsError):
    def __init__(self, problem: str) -> None:
        super().__init__([problem])
