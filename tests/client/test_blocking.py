from pathlib import Path

from dev.blocking import BY_HAND, CLIENT, blocking, write

SOURCE = '''async def ask(self) -> AsyncIterator[int]:
    """Of `AsyncIsobath`; async stays in words."""
    async with aclosing(self.events()) as events:
        return [await each async for each in events]
'''
BLOCKING = '''def ask(self) -> Iterator[int]:
    """Of `Isobath`; async stays in words."""
    with closing(self.events()) as events:
        return [each for each in events]
'''


def test_words_of_asyncio_are_taken_out() -> None:
    assert blocking(SOURCE) == BLOCKING


def test_blocking_client_is_fresh(tmp_path: Path) -> None:
    write(tmp_path)
    made = {path.name: path.read_text() for path in tmp_path.glob("*.py")}
    kept = {path.name: path.read_text() for path in (CLIENT / "sync").glob("*.py")}
    assert made == {n: text for n, text in kept.items() if n not in BY_HAND}, (
        "run `python -m dev.blocking`"
    )
