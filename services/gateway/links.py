"""Links to files that work without a key until they expire, for what cannot show one: pictures in a
chat, reports that are passed on.

    /v1/files/file-…/content?expires=1796083200&signature=…

The signature is an HMAC under a key of the gateway's own over the file and the time: who has one
link can make no other."""

import base64
import hashlib
import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from servicekit.status import Unauthenticated

_LABEL = b"links to files"
# half of it: 128 bits
_SIGNATURE_BYTES = 16
# a link stays the same for such a part of its lifetime, for whoever keeps copies by it, and is good
# for that much longer
_STEPS = 24


@dataclass(frozen=True)
class Links:
    """`base`: where clients reach the gateway, "" = links are relative. `lifetime_s` 0 = links need
    a key like everything else."""

    key: bytes = field(repr=False)
    base: str = ""
    lifetime_s: float = 0.0
    clock: Callable[[], float] = time.time

    def of(self, file_id: str) -> str:
        """Where HTTP serves the file."""
        address = f"{self.base}/v1/files/{file_id}/content"
        if not self.lifetime_s:
            return address
        step = self.lifetime_s / _STEPS
        expires = math.ceil(math.ceil((self.clock() + self.lifetime_s) / step) * step)
        return f"{address}?expires={expires}&signature={self._signature(file_id, expires)}"

    def check(self, file_id: str, expires: str, signature: str) -> None:
        """Raises `Unauthenticated`."""
        remedy = f"Get a new link with your key: GET /v1/files/{file_id}."
        if not expires.isdecimal() or len(expires) > 20:
            raise Unauthenticated("this link is torn", remedy=remedy)
        signed = self._signature(file_id, int(expires))
        if not self.lifetime_s or not hmac.compare_digest(signed.encode(), signature.encode()):
            raise Unauthenticated("this link is torn, or was not made here", remedy=remedy)
        if int(expires) < self.clock():
            raise Unauthenticated("this link has expired", remedy=remedy)

    def _signature(self, file_id: str, expires: int) -> str:
        own = hmac.digest(self.key, _LABEL, hashlib.sha256)
        signed = hmac.digest(own, f"{file_id} {expires}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(signed[:_SIGNATURE_BYTES]).decode().rstrip("=")
