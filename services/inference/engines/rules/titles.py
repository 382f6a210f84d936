"""Requests of chat programs that are not about data: titles, tags, follow-up questions."""

import json
import re

from .words import tokens

_TASK = re.compile(
    r"(?:generate|create|write|provide|give|suggest|make)\b[^.\n]{0,80}\b(title|tags|follow[- "
    r"]?up|headline)",
    re.IGNORECASE,
)
_SPOKEN = re.compile(r"(?:USER|User|Human)\s*:\s*(.+)")
_SMALL_WORDS = "the a an of in on is are was were do does did to for and or me my we our please"
_SMALL = frozenset(_SMALL_WORDS.split())


def wanted(instruction: str) -> str | None:
    """What kind of a label is asked for: 'title', 'tags' or 'follow'; None for a real question."""
    match = _TASK.search(instruction[:1500])
    if not match or not re.search(r"chat|conversation|history|dialog|message", instruction, re.I):
        return None
    kind = match[1].lower()
    return "title" if kind in ("title", "headline") else "tags" if kind == "tags" else "follow"


def answer(kind: str, instruction: str, earlier: str) -> str:
    """The label as plain text, or in the JSON that the request describes."""
    spoken = _SPOKEN.search(instruction)
    words = [t.text for t in tokens(spoken[1] if spoken else earlier) if t.lower not in _SMALL]
    title = " ".join(words[:5]) or "Data analysis"
    title = title[:1].upper() + title[1:]
    as_json = "json" in instruction.lower() or "{" in instruction
    if kind == "tags":
        return json.dumps({"tags": ["Data analysis"]}) if as_json else "Data analysis"
    if kind == "follow":
        return json.dumps({"follow_ups": []}) if as_json else ""
    return json.dumps({"title": title}, ensure_ascii=False) if as_json else title
