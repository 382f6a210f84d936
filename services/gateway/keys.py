"""Making API keys from the command line."""

from services.gateway.callers import Callers
from services.gateway.gateway import database_url, folder
from services.gateway.settings import Settings
from services.gateway.store import database


async def create_key(settings: Settings, owner: str) -> str:
    """A new key for `owner`, in the gateway's own database."""
    folder(settings.home)
    async with database.opened(database_url(settings)) as store:
        return await Callers(store).create(owner)
