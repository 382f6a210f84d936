"""Ask questions of your data from Python: a typed client of the gateway's gRPC contract.

from isobath_client import Isobath

with Isobath("127.0.0.1:50050", api_key="isb-…") as isobath:
    for event in isobath.ask("Which region returns the most?", data=["sales:public.orders"]):
        print(event)
"""

from isobath_client.client import Isobath
from isobath_client.errors import IsobathError
from isobath_client.selections import selection
from isobath_client.settings import Connection

__all__ = ["Connection", "Isobath", "IsobathError", "selection"]
