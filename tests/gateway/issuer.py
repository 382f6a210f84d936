"""A sign-in of our own: an OpenID Connect issuer on a socket, with keys that it can change.

It has the discovery document and the keys, and signs tokens; it has no login and no sessions."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fastapi import FastAPI
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from servicekit.ports import free_port
from services.gateway.http.listener import listening

ALGORITHMS = ("RS256", "ES256", "EdDSA")
AUDIENCE = "isobath"


class Issuer:
    """`keys` are shown by their ids; `read` counts how often they were asked for."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.calls_itself = self.url
        self.read = 0
        self.keys: dict[str, tuple[str, Any]] = {}
        self.add("first")

    def add(self, id: str, algorithm: str = "RS256") -> None:
        """One more key."""
        made = {
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }
        self.keys[id] = (algorithm, made[algorithm]())

    def token(self, id: str = "first", *, key: Any = None, **claims: Any) -> str:
        """Of a person who may ask, unless the claims say otherwise; None leaves one out."""
        algorithm, own = self.keys[id]
        now = int(time.time())
        whole = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "iat": now,
            "exp": now + 300,
            "roles": ["isobath-analyst"],
            **claims,
        }
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(kept, key or own, algorithm, headers={"kid": id})

    def shown(self) -> dict[str, Any]:
        """The public halves."""
        of: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
        keys = [
            {**of[algorithm].to_jwk(key.public_key(), as_dict=True), "kid": id, "alg": algorithm}
            for id, (algorithm, key) in self.keys.items()
        ]
        return {"keys": keys}


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """An issuer at work."""
    port = free_port()
    issuer = Issuer(port)
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> dict[str, str]:
        return {"issuer": issuer.calls_itself, "jwks_uri": f"{issuer.url}/keys"}

    @app.get("/keys")
    async def keys() -> dict[str, Any]:
        issuer.read += 1
        return issuer.shown()

    async with listening(app, "127.0.0.1", port):
        yield issuer
