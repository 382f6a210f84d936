"""Links of an answer to files of its run, by their names as the model has them, made to lead where
the files are. Pure.

    ![Orders by month](orders.png)   ->   ![Orders by month](https://…/v1/files/file-…/content?…)
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote

# longer ones are no names of files
_TARGET = re.compile(r"\]\(([^()\s]{1,255})\)")
# what may become the target of a link once more text comes
_BEGUN = re.compile(r"\](\([^()\s]{0,255})?\Z")


class Inline:
    """Over a text that comes in pieces; what may still become a link is held back. `urls` by path
    or name, and may grow meanwhile."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._held = ""

    def feed(self, text: str) -> str:
        """What is certain by now."""
        if not self._held and "]" not in text:
            return text
        text = self._held + text
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._held = text[end:]
        return _TARGET.sub(self._led, text[:end])

    def finish(self) -> str:
        """The rest: no more text comes."""
        rest, self._held = self._held, ""
        return rest

    def _led(self, found: re.Match[str]) -> str:
        path = unquote(found[1]).removeprefix("./")
        url = self._urls.get(path) or self._urls.get(path.rpartition("/")[2])
        return f"]({url})" if url else found[0]
