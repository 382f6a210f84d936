"""Ask questions of your data from Python: a typed client of the gateway's gRPC contract.

from isobath_client import Isobath

with Isobath("127.0.0.1:50050", api_key="isb-…") as isobath:
    answer = isobath.ask("Which region returns the most?", data=["sales:public.orders"])
    print(answer)

`AsyncIsobath` is the same for asyncio. `isobath_client.events` has the steps of a run,
`isobath_client.errors` what can go wrong.
"""

from isobath_client.aio.answers import AsyncAnswer
from isobath_client.aio.client import AsyncIsobath
from isobath_client.errors import IsobathError, RunCancelled, RunFailed
from isobath_client.events import Event
from isobath_client.requests import Asking
from isobath_client.retries import Retries
from isobath_client.selections import selection
from isobath_client.settings import Connection
from isobath_client.sync.answers import Answer
from isobath_client.sync.client import Isobath
from isobath_client.tables import Table

__all__ = [
    "Answer",
    "Asking",
    "AsyncAnswer",
    "AsyncIsobath",
    "Connection",
    "Event",
    "Isobath",
    "IsobathError",
    "Retries",
    "RunCancelled",
    "RunFailed",
    "Table",
    "selection",
]
