"""The rules together: those that come along, and those of a file of your own."""

import re
import tomllib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from training.data.scrub import personal, secrets
from training.data.scrub.rule import OWN, PERSONAL, Removed, Rule

RULES = (*secrets.RULES, *(replace(each, tier=PERSONAL) for each in personal.RULES))
NAMES = tuple(dict.fromkeys(each.name for each in RULES))


class RulesError(ValueError):
    """Rules that cannot be used; the text says which, and what to do."""


def chosen(off: Collection[str], own: Collection[Rule] = ()) -> tuple[Rule, ...]:
    """Own rules first, then those that come along but for those that are off."""
    if unknown := sorted(set(off) - set(NAMES)):
        raise RulesError(f"no rule is called {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    return (*own, *(each for each in RULES if each.name not in off))


def own_rules(path: Path) -> tuple[Rule, ...]:
    """Rules of a TOML file: `[rules]`, then `name = 'pattern'`; a group `value` says which part
    goes. Raises `RulesError`."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RulesError(f"{path} cannot be read as TOML: {error}") from error
    rules = table.get("rules")
    if not isinstance(rules, dict) or not rules:
        raise RulesError(f"{path} needs a table [rules] of name = 'pattern'")
    return tuple(_own(path, name, pattern) for name, pattern in rules.items())


def _own(path: Path, name: str, pattern: object) -> Rule:
    try:
        compiled = re.compile(pattern) if isinstance(pattern, str) else None
    except re.error as error:
        raise RulesError(f"{path}: the pattern of {name} is wrong: {error}") from error
    if compiled is None:
        raise RulesError(f"{path}: the pattern of {name} has to be text")
    if compiled.search(""):
        raise RulesError(f"{path}: the pattern of {name} fits nothing at all, and so everything")
    return Rule(name, compiled, Removed(name), tier=OWN)
