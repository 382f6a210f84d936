"""The key of the model server, asked of the credential service."""

import time

import grpc

from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit.channels import calling
from servicekit.secrets import Secret

# a key that was changed where it lies is taken by then
_KEPT_S = 60.0
_ASK_S = 10.0


class ModelKey:
    """As the OpenAI client takes it: called before each request."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.CredentialServiceStub(channel)
        self._key = Secret("")
        self._until = float("-inf")

    async def __call__(self) -> str:
        """Raises RemoteFault."""
        if time.monotonic() >= self._until:
            read = self._stub.ReadModelKey(pb.ReadModelKeyRequest(), timeout=_ASK_S)
            self._key = Secret((await calling(read)).key)
            self._until = time.monotonic() + _KEPT_S
        return self._key.reveal()
