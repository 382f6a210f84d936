"""New keys for grants and for secrets at rest, which the credential service makes."""

import argparse

from isobath.credentials.v1 import credentials_pb2 as credentials
from isobath.credentials.v1.credentials_pb2_grpc import CredentialServiceStub
from servicekit.channels import channel
from servicekit.tls import Tls
from services.gateway.clients import call
from services.gateway.settings import Settings
from services.gateway.upkeep.told import Told


async def rotated(settings: Settings, _: argparse.Namespace) -> Told:
    """As the gateway, which alone may ask for it."""
    shown = settings.server.tls
    tls = Tls(shown) if shown.cert_file else None
    async with channel(settings.credentials, token=settings.token, tls=tls) as opened:
        rotating = CredentialServiceStub(opened).RotateKeys(credentials.RotateKeysRequest())
        told = await call("credentials", rotating)
    secrets = f"{told.secrets_reencrypted:,} secrets encrypted anew"
    return Told([f"grants will be signed with {told.key_id}; {secrets}"])
