"""How much the files of one request may weigh; told before bytes move, where that can be."""

from collections.abc import Sequence

from connectorkit.files.errors import TooLarge
from connectorkit.files.members import Member


def check_sizes(
    found: Sequence[Member], max_file: int, max_request: int, *, length: int | None = None
) -> None:
    """0 = no limit. `length` = how much of the one file is wanted. Raises `TooLarge`."""
    sizes = [each.size_bytes if length is None else length for each in found]
    for each, size in zip(found, sizes, strict=True):
        if max_file and size > max_file:
            raise too_large(each.name, size, max_file)
    total = sum(sizes)
    if max_request and total > max_request:
        what = found[0].name if len(found) == 1 else f"{len(found)} files together"
        raise too_large(what, total, max_request)


def packed_too_large(name: str, limit: int) -> TooLarge:
    """Told while it is unpacked: what a compressed file holds is not known before."""
    return TooLarge(
        f"{name}: unpacked it has more than the {limit:,} bytes that may be read",
        remedy="Fetch it as it is (raw), read it as a table, or have the limit raised.",
        path=name,
        limit_bytes=str(limit),
    )


def written_too_large(path: str, size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"{path} has more than the {limit:,} bytes that may be written",
        remedy="Write less, or have the limit raised; nothing was written.",
        path=path,
        size_bytes=str(size),
        limit_bytes=str(limit),
    )


def too_large(what: str, size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"{what}: {size:,} bytes, and the limit is {limit:,}",
        remedy="Narrow the path, ask for a part of it, or have the limit raised.",
        path=what,
        size_bytes=str(size),
        limit_bytes=str(limit),
    )
