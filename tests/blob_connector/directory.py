"""A token endpoint as Microsoft Entra and a machine's metadata service have it, over TLS.

Stateful: it knows applications by their secret, checks that an assertion is signed for it, counts
what it gave, and can refuse in Entra's words. It does not imitate: discovery of authorities,
signatures of tokens (Azurite checks none), conditional access, throttling.
"""

import datetime as dt
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

TENANT = "11111111-2222-3333-4444-555555555555"
APPLICATION = "99999999-8888-7777-6666-555555555555"


@dataclass
class Directory:
    """`lifetime_s` of the tokens that it gives; `refusal` = the code it answers with instead."""

    port: int = 0
    secret: str = "the-value-of-the-secret"
    lifetime_s: int = 3600
    refusal: str = ""
    # of what was given: "client_secret", "assertion", "federated", "machine"
    given: list[str] = field(default_factory=list)
    asked: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def token(self, request: web.Request) -> web.Response:
        self.asked += 1
        form = await request.post()
        if self.refusal:
            return self._refused(self.refusal)
        assert form["scope"] == "https://storage.azure.com/.default"
        assert (request.match_info["tenant"], form["client_id"]) == (TENANT, APPLICATION)
        if "client_assertion" in form:
            claims = jwt.decode(str(form["client_assertion"]), options={"verify_signature": False})
            self.given.append("federated" if claims.get("iss") == "cluster" else "assertion")
        elif form["client_secret"] == self.secret:
            self.given.append("client_secret")
        else:
            return self._refused("AADSTS7000215")
        return web.json_response({**self._made(), "token_type": "Bearer"})

    async def machine(self, request: web.Request) -> web.Response:
        """Instance metadata; without the header it is a probe."""
        self.asked += 1
        if request.headers.get("Metadata") != "true" or self.refusal:
            return web.json_response({"error": "invalid_request"}, status=400)
        self.given.append("machine")
        assert request.query["resource"] == "https://storage.azure.com"
        made = {**self._made(), "token_type": "Bearer", "resource": "https://storage.azure.com"}
        return web.json_response({**made, "expires_on": str(int(time.time()) + self.lifetime_s)})

    def _made(self) -> dict[str, object]:
        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + self.lifetime_s,
        }
        token = jwt.encode(claims, "x" * 32, algorithm="HS256")
        return {"access_token": token, "expires_in": self.lifetime_s}

    def _refused(self, code: str) -> web.Response:
        text = f"{code}: Not like this, planted-secret. Trace ID: 0"
        body = {"error": "invalid_client", "error_description": text}
        return web.json_response(body, status=401)


@asynccontextmanager
async def directory(pem: Path) -> AsyncIterator[Directory]:
    """`pem` holds the certificate and key that it serves with."""
    made, app = Directory(), web.Application()
    app.router.add_post("/{tenant}/oauth2/v2.0/token", made.token)
    app.router.add_get("/metadata/identity/oauth2/token", made.machine)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        made.port = runner.addresses[0][1]
        yield made
    finally:
        await runner.cleanup()


def self_signed(path: Path, days: int = 30) -> Path:
    """A PEM of key and certificate for 127.0.0.1."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "isobath test")])
    now = dt.datetime.now(dt.UTC)
    built = x509.CertificateBuilder(issuer_name=name, subject_name=name)
    built = built.public_key(key.public_key()).serial_number(x509.random_serial_number())
    built = built.not_valid_before(now - dt.timedelta(hours=1))
    built = built.not_valid_after(now + dt.timedelta(days=days))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    built = built.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = built.sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


def federated(path: Path) -> Path:
    """A token file as a cluster projects it into a pod."""
    path.write_text(jwt.encode({"iss": "cluster", "sub": "pod"}, "y" * 32, algorithm="HS256"))
    return path
