"""Azure's SDK speaks in exceptions; here they become this service's own words.

Codes are those of "Blob Storage error codes" and "Common REST API error codes" (Microsoft Learn).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from services.blob_connector import errors
from services.blob_connector.identity import Place
from services.blob_connector.refusals import FORBIDDEN, Refusal, refused
from services.blob_connector.retrying import told_wait_s

_ARCHIVED = frozenset({"BlobArchived", "BlobBeingRehydrated"})
_MISSING_CONTAINER = frozenset({"ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"})
_HELD = frozenset(
    {"LeaseIdMissing", "LeaseIdMismatchWithBlobOperation", "BlobImmutableDueToPolicy"}
)
# another writer committed, or put the blob, which drops the blocks of all others
_BLOCKS_GONE = "InvalidBlockList"
# "Scalability and performance targets for Blob storage" (Microsoft Learn): 503 over a limit
_BUSY = frozenset({429, 503})
_TRANSIENT = frozenset({408, 500, 502, 504})


@dataclass(frozen=True)
class Answer:
    """One that is no success: `code` is the service's own, `text` its words."""

    status: int
    code: str
    text: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Words:
    """What this service says about one place."""

    place: Place
    host: str

    @contextmanager
    def spoken(self, name: str, *, writing: bool = False) -> Iterator[None]:
        """The SDK's errors as ours. A torn answer is `Torn`."""
        try:
            yield
        except AzureError as exc:
            raise self.of(exc, name, writing=writing) from exc

    def of(self, exc: AzureError, name: str, *, writing: bool = False) -> errors.BlobFault:
        match exc:
            case ClientAuthenticationError():
                return self._refused(_answer(exc), name, writing=writing)
            case DecodeError():
                return self._unreachable("does not answer as Azure Blob Storage does")
            case HttpResponseError() if exc.status_code and exc.status_code >= 300:
                return self.answered(_answer(exc), name, writing=writing)
            # IncompleteReadError is one of these: bytes came, but not all
            case HttpResponseError() | ServiceResponseError():
                return self.torn(name)
            case ServiceRequestError():
                return self._unreachable("cannot be reached")
        return self._unreachable("cannot be reached")

    def answered(self, answer: Answer, name: str, *, writing: bool = False) -> errors.BlobFault:
        """What a status other than that of success means."""
        code, status = answer.code, answer.status
        if code in _ARCHIVED:
            return self.archived(name, code if code == "BlobBeingRehydrated" else "")
        if status == 404 or code in _MISSING_CONTAINER:
            return self._not_found(code, name)
        if status in (401, 403) or code in FORBIDDEN:
            return self._refused(answer, name, writing=writing)
        if code in _HELD:
            return self._held(name)
        if code == _BLOCKS_GONE:
            return self.contended(name)
        if status in (409, 412):
            return self.exists(name) if writing else self.changed(name)
        if status == 416:
            return self.changed(name)
        told = f"answered {status} {code}".rstrip()
        if status in _BUSY:
            return self._busy(answer, told)
        if status in _TRANSIENT:
            return self._unreachable(f"{told}, though it was asked several times")
        return self._unreachable(told)

    def away(self) -> errors.Unreachable:
        return self._unreachable("cannot be reached")

    def torn(self, name: str) -> errors.Torn:
        return errors.Torn(
            f"{name} did not arrive whole, though it was asked for several times",
            remedy="Try again; if it lasts, look at the network between here and the account.",
            path=name,
        )

    def corrupt(self, name: str) -> errors.Torn:
        return errors.Torn(
            f"{name} arrived, but its MD5 is not the one that the service keeps for it",
            remedy="Upload the blob again: its bytes or its Content-MD5 are wrong.",
            path=name,
        )

    def changed(self, name: str) -> errors.Changed:
        return errors.Changed(
            f"{name} changed while it was read", remedy="Read it again.", path=name
        )

    def contended(self, name: str) -> errors.Changed:
        return errors.Changed(
            f"{name} was written by somebody else at the same time; nothing of this was kept",
            remedy="Look at what is there, and write again.",
            path=name,
        )

    def exists(self, name: str) -> errors.Exists:
        return errors.Exists(
            f"there is a blob {name!r} already",
            remedy="Choose another name, or ask to overwrite.",
            field="path",
        )

    def deceitful(self, name: str) -> errors.BlobNotFound:
        return errors.BlobNotFound(
            f"{name!r} holds . or .. as a folder, or a backslash, and is not asked for",
            remedy="Name the blob by its plain path within the source.",
            path=name,
        )

    def nothing(self, path: str) -> errors.BlobNotFound:
        return errors.BlobNotFound(
            f"nothing in {self.place.name} matches {path!r}",
            remedy="Browse the source to see what is there.",
            path=path,
        )

    def _not_found(self, code: str, name: str) -> errors.BlobNotFound:
        if code in _MISSING_CONTAINER:
            return errors.BlobNotFound(
                f"there is no {self.place.name}",
                remedy="Correct the container in the source's settings.",
                path=name,
            )
        return errors.BlobNotFound(
            f"there is no blob {name!r} in {self.place.name}",
            remedy="Browse the source to see what is there.",
            path=name,
        )

    def _refused(self, answer: Answer, name: str, *, writing: bool) -> errors.BlobFault:
        refusal = Refusal(answer.code, answer.text, answer.headers.get("Date", ""))
        return refused(refusal, self.place, name, writing=writing)

    def _busy(self, answer: Answer, told: str) -> errors.Unreachable:
        wait = told_wait_s(answer.headers)
        when = f" after {wait:g} s" if wait else " later"
        busy = errors.Unreachable(
            f"account {self.place.account!r} at {self.host} {told}: it is throttled or busy, "
            "though it was asked several times",
            remedy=f"Try again{when}, ask for less at once, or raise the account's limits.",
            source=self.place.source,
            host=self.host,
        )
        busy.retry_after_s = wait or None
        return busy

    def _held(self, name: str) -> errors.Forbidden:
        return errors.Forbidden(
            f"{name} is held by a lease or an immutability policy",
            remedy="Write under another name, or let go of it in the account.",
            path=name,
            source=self.place.source,
            identity=self.place.identity,
        )

    def archived(self, name: str, status: str = "") -> errors.Archived:
        """`status` as the service says it, such as rehydrate-pending-to-hot."""
        if status:
            message, remedy = f"{name} is being rehydrated ({status})", "Try again once it is."
        else:
            message = f"{name} lies in the archive tier"
            remedy = (
                "Rehydrate it first: set its tier to Hot or Cool, as in `az storage blob set-tier "
                "--tier Hot --rehydrate-priority High`, and wait: up to 1 h with high priority, up "
                "to 15 h with standard."
            )
        return errors.Archived(
            message,
            remedy=remedy,
            path=name,
            source=self.place.source,
            identity=self.place.identity,
        )

    def _unreachable(self, what: str) -> errors.Unreachable:
        return errors.Unreachable(
            f"account {self.place.account!r} at {self.host} {what}",
            remedy="Check account_url, DNS, and the account's firewall; the account's own health "
            "page tells of an outage.",
            source=self.place.source,
            host=self.host,
        )


def _answer(exc: HttpResponseError) -> Answer:
    """The service's own error code is an enumeration here and a text there."""
    code = getattr(exc, "error_code", "") or ""
    headers: Mapping[str, str] = getattr(exc.response, "headers", {})
    return Answer(exc.status_code or 0, str(getattr(code, "value", code)), exc.message, headers)
