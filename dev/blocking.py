"""Make the blocking client from the asynchronous one, word by word.

    python -m dev.blocking [FOLDER]

writes `isobath_client/sync` (or FOLDER) from `isobath_client/aio`; a test holds the committed code
against what this makes. `transport.py` is left out: there is one of each, written by hand.
"""

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "client" / "isobath_client"
BY_HAND = frozenset({"__init__.py", "transport.py"})
WORDS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclosing": "closing",
    "anext": "next",
    "aio": "sync",
}
# imports in order; and what need not be a loop any more
FIXES = ["check", "--select", "I,UP028", "--fix", "--unsafe-fixes", "--quiet"]
DROPPED = frozenset({"async", "await"})


def blocking(source: str) -> str:
    """The same code without asyncio. What is told in docstrings stays, under the other names."""
    lines = source.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    # from the end, so that what stands before keeps its place
    for token in reversed(tokens):
        (first, start), (last, end) = token.start, token.end
        new = _renamed(token)
        if new == token.string or first != last:
            continue
        rest = lines[first - 1][end:]
        lines[first - 1] = lines[first - 1][:start] + new + (rest if new else rest.lstrip(" "))
    return "".join(lines).replace("grpc.sync.", "grpc.")


def _renamed(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.STRING:
        return re.sub(r"\bAsync(?=[A-Z])", "", token.string)
    if token.type != tokenize.NAME:
        return token.string
    if token.string in DROPPED:
        return ""
    plain = token.string.removeprefix("Async")
    return WORDS.get(plain, plain)


def write(into: Path) -> None:
    """Write every module, laid out by ruff."""
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted((CLIENT / "aio").glob("*.py")):
        if path.name not in BY_HAND:
            (into / path.name).write_text(_laid_out(blocking(path.read_text())))


def _laid_out(code: str) -> str:
    for words in (FIXES, ["format", "--quiet"]):
        command = [
            sys.executable,
            "-m",
            "ruff",
            *words,
            "--stdin-filename",
            "client/isobath_client/sync/x.py",
            "-",
        ]
        ran = subprocess.run(
            command, cwd=ROOT, input=code, capture_output=True, text=True, check=True
        )
        code = ran.stdout
    return code


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else CLIENT / "sync")
