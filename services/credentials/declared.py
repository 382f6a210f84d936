"""The file of declared sources: text in, entries or problems with their lines out.

sources:
  - name: shop
    owner: analytics
    type: postgresql
    config: {host: db.internal, database: shop, user: reader}
    secrets:
      password: vault:secret/shop/db#password
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as option
from typing import Any, Literal, cast

import yaml

from grants.claims import Json
from services.credentials.wishes import secret_looking

PREFIX = "declared-"
_KEYS = ("name", "owner", "type", "description", "config", "secrets")
_NEEDED = ("name", "owner", "type")
# the gateway's
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_REFERENCES = (
    re.compile(r"(?P<kind>vault):(?P<place>[^/#\s]+/[^#\s]+)#(?P<field>[^#\s]+)"),
    re.compile(r"(?P<kind>env):(?P<place>[A-Za-z_][A-Za-z0-9_]*)(?P<field>)"),
    re.compile(r"(?P<kind>file):(?P<place>/.+)(?P<field>)"),
)
REFERENCE = "vault:MOUNT/PATH#FIELD, env:NAME or file:/PATH"


@dataclass(frozen=True)
class Problem:
    """`line` counts from 1."""

    line: int
    text: str


class DeclaredWrong(Exception):
    """Everything that is wrong with the file. No text shows a value."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda each: each.line))
        super().__init__("; ".join(f"line {each.line}: {each.text}" for each in self.problems))


@dataclass(frozen=True)
class Reference:
    """Where a secret lies. `place`: mount/path, a variable's name, or a path."""

    kind: Literal["vault", "env", "file"]
    place: str
    field: str
    line: int = option(compare=False)

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}" + (f"#{self.field}" if self.field else "")


def reference(text: str, line: int = 0) -> Reference | None:
    """What a text refers to; None of one that is no reference."""
    for shape in _REFERENCES:
        if match := shape.fullmatch(text):
            kind, place, name = match["kind"], match["place"], match["field"]
            return Reference(cast("Any", kind), place, name, line)
    return None


@dataclass(frozen=True)
class Entry:
    name: str
    owner: str
    type: str
    description: str
    config: Mapping[str, Json]
    secrets: Mapping[str, Reference]
    line: int

    @property
    def source_id(self) -> str:
        """The same as long as the owner and the name are."""
        return PREFIX + _digest([self.owner, self.name])[:16]

    @property
    def digest(self) -> str:
        """Of what makes another version: not of what only people read."""
        references = {name: str(reference) for name, reference in self.secrets.items()}
        return _digest([self.type, dict(self.config), references])


def entries(text: str) -> tuple[Entry, ...]:
    """Raises DeclaredWrong."""
    try:
        return _read(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 1
        raise DeclaredWrong([Problem(line, f"no YAML: {exc.problem}")]) from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise DeclaredWrong([Problem(line, "a character that YAML does not take")]) from exc
    except RecursionError as exc:
        raise DeclaredWrong([Problem(1, "it is nested too deeply")]) from exc


def _read(text: str) -> tuple[Entry, ...]:
    loader = yaml.SafeLoader(text)
    try:
        return _Reading(loader).read(loader.get_single_node())
    finally:
        loader.dispose()


class _Reading:
    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._problems: list[Problem] = []

    def read(self, root: yaml.Node | None) -> tuple[Entry, ...]:
        found = [] if root is None else self._sources(root)
        for each, before in _twice(found):
            said = f"{each.owner} has a source {each.name} on line {before.line} already"
            self._problems.append(Problem(each.line, said))
        if self._problems:
            raise DeclaredWrong(self._problems)
        return tuple(found)

    def _sources(self, root: yaml.Node) -> list[Entry]:
        node = self._mapping(root, "the file", ("sources",)).get("sources")
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self._wrong(node, "sources is a list")
            return []
        return [entry for each in node.value if (entry := self._entry(each)) is not None]

    def _entry(self, node: yaml.Node) -> Entry | None:
        before = len(self._problems)
        parts = self._mapping(node, "a source", _KEYS)
        words = {key: self._word(parts[key], key) for key in _KEYS[:4] if key in parts}
        for key in _NEEDED:
            if not words.get(key):
                self._wrong(node, f"{key} is missing")
        if words.get("name") and not _NAME.fullmatch(words["name"]):
            self._wrong(parts["name"], "name takes 1 to 64 letters, digits, - and _")
        config = self._config(parts["config"]) if "config" in parts else {}
        secrets = self._secrets(parts["secrets"]) if "secrets" in parts else {}
        if len(self._problems) > before:
            return None
        said = words.get("description", "")
        return Entry(
            words["name"], words["owner"], words["type"], said, config, secrets, _line(node)
        )

    def _config(self, node: yaml.Node) -> dict[str, Json]:
        parts = self._mapping(node, "config")
        config: dict[str, Json] = {}
        for key, value in parts.items():
            config[key] = self._plain(value)
            for name in secret_looking({key: config[key]}):
                self._wrong(value, f"{name} looks like a secret: put a reference under secrets")
        return config

    def _plain(self, node: yaml.Node) -> Json:
        """Raises yaml.MarkedYAMLError for a tag of no plain value."""
        value: Any = self._loader.construct_object(node, deep=True)
        try:
            return cast("Json", json.loads(json.dumps(value, allow_nan=False)))
        except (TypeError, ValueError):
            self._wrong(node, "a setting is text, a number, true or false, a list or a mapping")
            return None

    def _secrets(self, node: yaml.Node) -> dict[str, Reference]:
        found = {}
        for name, value in self._mapping(node, "secrets").items():
            reference = self._reference(value)
            if reference is not None:
                found[name] = reference
        return found

    def _reference(self, node: yaml.Node) -> Reference | None:
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if found := reference(text, _line(node)):
            return found
        self._wrong(node, f"a secret is a reference: {REFERENCE}")
        return None

    def _word(self, node: yaml.Node, name: str) -> str:
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
            return str(node.value)
        self._wrong(node, f"{name} is a text")
        return ""

    def _mapping(
        self, node: yaml.Node, name: str, known: tuple[str, ...] = ()
    ) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, f"{name} is a mapping")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            text = str(key.value)
            if text in found:
                self._wrong(key, f"{text} is there twice")
            if known and text not in known:
                self._wrong(key, f"{text} is not known: {name} has {', '.join(known)}")
            found[text] = value
        return found

    def _wrong(self, node: yaml.Node, text: str) -> None:
        self._problems.append(Problem(_line(node), text))


def _twice(found: list[Entry]) -> Iterator[tuple[Entry, Entry]]:
    before: dict[str, Entry] = {}
    for entry in found:
        if entry.source_id in before:
            yield entry, before[entry.source_id]
        before.setdefault(entry.source_id, entry)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
