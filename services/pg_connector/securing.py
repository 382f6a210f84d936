"""How both sides show who they are: the login, TLS, and what was wrong with a certificate.

Only what the source itself says counts: no certificates of this machine's account and no PGSSL…
variables, which the client library would take if it were left to make the context.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from servicekit.secrets import Secret
from servicekit.status import InvalidField

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# X509_V_ERR_… in OpenSSL's x509_vfy.h
_TOLD = {
    9: ("is not valid yet", "See that the clocks are right."),
    10: ("has expired", "Have the server's certificate renewed."),
    62: ("is for another host name", "Use the name in the certificate as host, or verify-ca."),
    64: ("is for another address", "Use the name in the certificate as host, or verify-ca."),
}
# SSL_R_…_ALERT_… in OpenSSL's sslerr.h: what the server said of our own certificate, or of none
_ASKED = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})
_GIVE = "Give client_certificate and client_key among the secrets of the data source."
_NOT_TAKEN = frozenset(
    {
        "TLSV1_ALERT_UNKNOWN_CA",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_ALERT_DECRYPT_ERROR",
    }
)
_RENEW = "Give one that is in force, signed by a CA that the server trusts."
_UNKNOWN = (
    "is not signed by a CA that is trusted",
    "Give the CA that signed the server's certificate as ca_certificate.",
)


@dataclass(frozen=True)
class Client:
    """What this side shows of itself, both as PEM."""

    certificate: Secret
    key: Secret


def client_of(secrets: Mapping[str, Secret]) -> Client | None:
    """Raises InvalidField where one is there without the other."""
    certificate, key = (secrets.get(name) for name in ("client_certificate", "client_key"))
    if certificate and key:
        return Client(certificate, key)
    if certificate or key:
        lacking = "client_key" if certificate else "client_certificate"
        raise InvalidField(f"secrets.{lacking}", "client_certificate and client_key go together")
    return None


@dataclass(frozen=True)
class Login:
    """What a source's secrets say of who asks. `user` stands where the credential service has the
    roles made: it replaces that of the settings."""

    password: Secret | None = None
    client: Client | None = None
    user: str = ""


def login_of(secrets: Mapping[str, Secret]) -> Login:
    """Raises InvalidField."""
    user = secrets.get("username")
    return Login(secrets.get("password"), client_of(secrets), user.reveal() if user else "")


def ways(sslmode: str, ca: str, client: Client | None) -> tuple[ssl.SSLContext | None, ...]:
    """How to connect, first what is to be tried first; None = without TLS. Blocks: it may read the
    machine's own CAs. Raises InvalidField."""
    if sslmode == "disable":
        return (None,)
    context = _context(sslmode, ca, client)
    return {"allow": (None, context), "prefer": (context, None)}.get(sslmode, (context,))


def _context(sslmode: str, ca: str, client: Client | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["postgresql"])
    # libpq, too, takes "require" for "verify-ca" where it has a CA
    verified = sslmode.startswith("verify-") or (sslmode == "require" and bool(ca))
    context.check_hostname = sslmode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    if verified:
        _trust(context, ca)
    if client:
        _show(context, client)
    return context


def _trust(context: ssl.SSLContext, ca: str) -> None:
    if not ca:
        context.load_default_certs()
        return
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidField("config.ca_certificate", "ca_certificate is no PEM certificate") from exc


def _show(context: ssl.SSLContext, client: Client) -> None:
    """OpenSSL reads it from a file: one in memory, without a name, gone at once."""
    pem = client.certificate.reveal_bytes() + b"\n" + client.key.reveal_bytes()
    file = os.memfd_create("client", os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as whole:
            whole.write(pem)
        # without a password of its own OpenSSL would ask for one on the terminal
        context.load_cert_chain(f"/proc/self/fd/{file}", password="")
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidField(
            "secrets.client_key",
            "client_certificate and client_key are no PEM certificate and its unencrypted key",
        ) from exc
    finally:
        os.close(file)


def told(error: BaseException) -> tuple[str, str]:
    """What was wrong and what to do, for what connecting raised; empty where it was not TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what, remedy = _TOLD.get(error.verify_code, _UNKNOWN)
        return f"the server's certificate {what}", remedy
    if isinstance(error, ssl.SSLError):
        if error.reason in _ASKED:
            return "the server asks for a client certificate", _GIVE
        if error.reason in _NOT_TAKEN:
            return "the server does not take the client certificate", _RENEW
        why = (error.reason or "the handshake failed").replace("_", " ").lower()
        return f"TLS failed: {why}", ""
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return (
            "the server does not speak TLS",
            "Turn on ssl at the server, or choose sslmode prefer.",
        )
    return "", ""
