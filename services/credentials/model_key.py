"""The key of the model server: it lies where the operator said, and is kept nowhere else."""

from dataclasses import dataclass

from servicekit.secrets import Secret
from services.credentials.declared import Reference
from services.credentials.errors import NoModelKey
from services.credentials.references import References


@dataclass(frozen=True)
class ModelKey:
    """`reference` None: none is set."""

    reference: Reference | None
    references: References

    async def read(self) -> Secret:
        """As it is now. Raises NoModelKey, VaultFault."""
        if self.reference is None:
            raise NoModelKey
        return await self.references.read(self.reference)
