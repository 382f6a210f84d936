"""The benchmarks' own rules for a right answer, as their scripts have them: pure.

What these rules let pass or refuse is theirs, also where one would wish it otherwise: only so is a
score comparable with those that are published.
"""

import math
import re
from difflib import SequenceMatcher

from training.evaluation.dataset import Reference

# what stands behind it in an answer is the answer, for rules that compare a whole text
MARK = "Final answer:"


def passes(wanted: Reference, answer: str) -> bool:
    """Whether an answer holds what the benchmark's rule asks for."""
    if not answer.strip():
        return False
    match wanted.rule:
        case "dabench":
            return dabench(tagged(answer).get(wanted.name), wanted.value)
        case "dabstep":
            return dabstep(final(answer), wanted.value)
        case "coda":
            return coda(final(answer), wanted.value)


def final(answer: str) -> str:
    """What a report says behind the last `Final answer:`, up to the line's end and without marks of
    Markdown; where it says none, the whole of it."""
    before, mark, last = answer.rpartition(MARK)
    if not mark:
        return answer.strip()
    # as bold text, it ends behind the mark, or behind the answer
    bold = before.endswith("**")
    text = last.lstrip("*").strip().partition("\n")[0].strip()
    return (text.removesuffix("**") if bold or text.count("**") == 1 else text).strip("`").strip()


# InfiAgent-DABench, examples/DA-Agent/eval_closed_form.py of InfiAgent/InfiAgent


def tagged(answer: str) -> dict[str, str]:
    """Each `@name[value]` of an answer; of several of one name, the last."""
    return dict(re.findall(r"@(\w+)\[(.*?)\]", answer))


def dabench(response: str | None, label: str) -> bool:
    """The same text, or numbers that differ by less than 1e-6."""
    if response is None or response == label:
        return response is not None
    try:
        return abs(float(response) - float(label)) < 1e-6
    except ValueError:
        return False


# DABstep, dabstep_benchmark/evaluation/scorer.py of the leaderboard's space adyen/DABstep

_THOUSANDS_OR_DECIMAL = re.compile(r"\$?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+[.,]\d+)\n?")
_NUMBER = re.compile(r"(\d*\.\d+|\d+\.?\d*)%?")
_BRACKETS = re.compile(r"^\[|\]$")


def dabstep(answer: str, truth: str) -> bool:
    """Numbers within 1e-4, or equal at the coarser one's decimals, whatever their sign; lists in
    whatever order; else texts that are alike."""
    mine, theirs = answer.strip().lower(), truth.strip().lower()
    if _formatted(mine) or _formatted(theirs):
        return _numbers_agree(mine, theirs)
    if any(mark in text for mark in ",;" for text in (mine, theirs)):
        return _lists_agree(mine, theirs)
    if _first_number(mine) is not None and _first_number(theirs) is not None:
        return _numbers_agree(mine, theirs)
    return _texts_agree(mine, theirs)


def _formatted(text: str) -> bool:
    return _THOUSANDS_OR_DECIMAL.fullmatch(text) is not None


def _first_number(text: str) -> float | None:
    found = _NUMBER.search(text.replace(",", "").replace("$", ""))
    return float(found[1]) if found else None


def _numbers_agree(mine: str, theirs: str) -> bool:
    one, other = _first_number(mine), _first_number(theirs)
    if one is None or other is None:
        return False
    if one == other:
        return True
    close = math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-4)
    if one < 1 and other < 1:
        return close
    places = min(_decimals(one), _decimals(other))
    return round(one, places) == round(other, places) or close


def _decimals(number: float) -> int:
    text = str(number)
    return len(text.split(".")[-1]) if "." in text else 0


def _lists_agree(mine: str, theirs: str) -> bool:
    one, other = _items(mine), _items(theirs)
    return one == other or (
        len(one) == len(other) and all(dabstep(*pair) for pair in zip(one, other, strict=True))
    )


def _items(text: str) -> list[str]:
    parts = re.split(r"[,;]", _BRACKETS.sub("", text.strip()))
    return sorted(part.strip() for part in parts if part.strip())


def _texts_agree(mine: str, theirs: str) -> bool:
    if re.sub(r"\W", "", mine) == re.sub(r"\W", "", theirs):
        return True
    one, other = set(re.findall(r"\b\w+\b", mine)), set(re.findall(r"\b\w+\b", theirs))
    alone = 1 in (len(re.findall(r"\b\w+\b", text)) for text in (mine, theirs))
    if alone and one and other:
        return one <= other or other <= one
    return SequenceMatcher(None, mine, theirs).ratio() > 0.95


# CoDA-Bench, coda_bench/evaluation.py of ruc-datalab/CoDA-Bench: exact match, else numeric match


def coda(answer: str, truth: str) -> bool:
    """The same text but for case and space, or the same numbers in the same order."""
    if _plain(answer) == _plain(truth):
        return True
    mine, theirs = _all_numbers(answer), _all_numbers(truth)
    return bool(mine) and len(mine) == len(theirs) and all(
        abs(one - other) <= 1e-6 for one, other in zip(mine, theirs, strict=True)
    )  # fmt: skip


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip()).lower()


def _all_numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?", text)]
