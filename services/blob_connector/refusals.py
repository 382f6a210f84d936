"""Why an account answered 401 or 403, as far as its words, its clock and the credential tell.

Codes are those of "Blob Storage error codes" and "Common REST API error codes" (Microsoft Learn).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from services.blob_connector.entra import APPLICATION, OWN
from services.blob_connector.errors import AuthenticationFailed, BlobFault, Forbidden
from services.blob_connector.identity import Place

# "Authorize with Shared Key": a request is refused whose time is off by more
MOST_SKEW = timedelta(minutes=15)
_NEEDS = {
    False: ("list and read rights: sp=rl", "Storage Blob Data Reader"),
    True: ("write rights: sp=rcw", "Storage Blob Data Contributor"),
}
_FIREWALL = (
    "Let the connector's address or network in: the account's networking page, a private endpoint, "
    "or a resource instance rule."
)
# the credential is good, a right is missing; None = the remedy that fits the operation
FORBIDDEN: Mapping[str, str | None] = {
    "AuthorizationPermissionMismatch": None,
    "AuthorizationResourceTypeMismatch": "The SAS is for another kind of resource: make one for "
    "the container (sr=c), or for the account with srt=co.",
    "AuthorizationServiceMismatch": "The SAS is for another service: make one with ss=b.",
    "InsufficientAccountPermissions": None,
    "AuthorizationSourceIPMismatch": "The SAS is bound to other addresses (sip): make another one.",
    "AuthorizationProtocolMismatch": "The SAS asks for HTTPS: use an https account_url.",
    "KeyBasedAuthenticationNotPermitted": "The account refuses keys: use an identity of Microsoft "
    "Entra or a user delegation SAS.",
    "PublicAccessNotPermitted": "Give the source a credential.",
    "AccountIsDisabled": "Enable the storage account.",
    "ResourceTypeMismatch": None,
}
_RENEW = {
    "account_key": "Copy key1 or key2 anew from the account's access keys: it may have been "
    "rotated, or belong to another account.",
    "connection_string": "Copy the connection string anew from the account's access keys: the key "
    "in it may have been rotated.",
    "sas_token": "Make a new SAS: it may have expired, not have begun yet, be signed with a "
    "rotated key, or be for another container.",
}
_TENANT = (
    "The token is not one for this account: the identity must be of the tenant that the "
    "account's subscription trusts, and account_url must be of that cloud."
)
# as Azure says it of the firewall; Azurite gives the code for a wrong signature, with other words
_NOT_AUTHORIZED = "This request is not authorized to perform this operation."


@dataclass(frozen=True)
class Refusal:
    """A 401 or 403: its code, the words of the account, and the time that its answer bears."""

    code: str
    text: str = ""
    date: str = ""


def refused(
    refusal: Refusal, place: Place, name: str, *, writing: bool, now: datetime | None = None
) -> BlobFault:
    """The fault, by cause."""
    now = now or datetime.now(UTC)
    known = {"source": place.source, "identity": place.identity}
    doing = "write to" if writing else "read"
    if refusal.code in FORBIDDEN:
        return Forbidden(
            f"the {place.identity} may not {doing} {place.name} ({refusal.code})",
            remedy=FORBIDDEN[refusal.code] or _rights(place, writing=writing),
            path=name,
            **known,
        )
    if refusal.code == "AuthorizationFailure" and _NOT_AUTHORIZED in refusal.text:
        return Forbidden(
            f"account {place.account!r} lets nobody in from here, or not the {place.identity}",
            remedy=_FIREWALL,
            path=name,
            **known,
        )
    because, remedy = _cause(refusal, place, now)
    return AuthenticationFailed(
        f"account {place.account!r} refused the {place.identity} for container "
        f"{place.container!r}{because}",
        remedy=remedy,
        **known,
    )


def _rights(place: Place, *, writing: bool) -> str:
    sas, role = _NEEDS[writing]
    if place.way in (*APPLICATION, *OWN):
        return (
            f"Grant it the data-plane role {role} on the container or the account (Owner or "
            "Contributor of the account is not enough); a new role takes up to ten minutes."
        )
    return (
        f"Give it {sas} in a SAS, or for an identity the data-plane role {role} (Owner or "
        "Contributor of the account is not enough)."
    )


def _cause(refusal: Refusal, place: Place, now: datetime) -> tuple[str, str]:
    """What to add to the message, and the remedy."""
    skew = _skew(refusal, now)
    if skew > MOST_SKEW or "date header too old" in refusal.text.lower():
        minutes = round(skew.total_seconds() / 60)
        off = f": this machine's clock is off by {minutes} min" if minutes else ": by their clocks"
        return off, "Set the clock of the connector's machine (NTP); the credential may be good."
    if place.way not in ("sas_token", "connection_string"):
        return "", _RENEW.get(place.way, _TENANT)
    if place.expires_at is not None and place.expires_at <= now:
        ended = place.expires_at.strftime("%Y-%m-%d %H:%M UTC")
        return f": the SAS ended at {ended}", "Make a new SAS: this one has expired."
    if place.starts_at is not None and place.starts_at > now:
        begins = place.starts_at.strftime("%Y-%m-%d %H:%M UTC")
        return f": the SAS begins at {begins}", "Wait, or make a new SAS without a start time."
    return "", _RENEW[place.way]


def _skew(refusal: Refusal, now: datetime) -> timedelta:
    try:
        return abs(parsedate_to_datetime(refusal.date) - now)
    except (ValueError, TypeError):
        return timedelta()
