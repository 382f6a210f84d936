"""The words of a question and of column names, reduced so that the two can be compared."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

# 'NO2' and 'PM2.5' are one word each
_WORD = re.compile(
    r"[^\W\d_]+\d+(?:\.\d+)*(?![^\W_])|\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?", re.UNICODE
)
_UNIT = re.compile(r"[(\[{][^)\]}]*[)\]}]|\s(?:in )?[°%€$£#]\w*\s*$")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_KEPT = {
    "ratings": "rating",
    "people": "person",
    "persons": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "days": "day",
    "lately": "late",
    "rated": "rating",
    "paid": "pay",
    "sold": "sell",
    "sales": "sale",
    "bought": "buy",
    "spent": "spend",
    "drove": "drive",
    "driven": "drive",
}
_FINAL = frozenset({"late", "rating", "this", "during", "news", "status"})
_SUFFIXES = ("ation", "ment", "ness", "ing", "edly", "ied", "ed")
_NOISE_WORDS = (
    "id ids at on of the is has was no nr code key name by in a an to km kg eur usd gbp nok cm mm"
)
_NOISE = frozenset(_NOISE_WORDS.split())
# at the end of a column's name: temp_c, battery_v, humidity_g_m3
_UNIT_WORDS = "c f v w g s m h l ms m2 m3 hz kmh hpa mbar ppm pct lux db"
_UNITS = frozenset(_UNIT_WORDS.split())

# Words of one row stand for one another when no column carries the word itself.
_FAMILIES = """
revenue sale turnover amount total income taking gmv value gross net
refund return
late delay overdue punctual
customer client buyer shopper account member consumer
employee staff worker headcount person personnel colleague
salary pay wage earn compensation remuneration
kwh energy electricity consumption usage
product item sku article good merchandise
region area territory zone market
country nation
city town
department dept division team unit
party guest person pax
quantity qty unit volume piece sell
cost expense spend spending expenditure
profit margin earning
reading measurement observation sample
visit session traffic pageview hit
temperature temp
duration length minute second elapsed
gender sex
agent operator representative rep advisor handler assignee
student pupil learner
teacher instructor lecturer tutor professor
course class subject module
doctor physician clinician practitioner
ward clinic
diagnosis illness disease condition
invoice bill charge fee
generation production output
outage downtime blackout
plant site facility
priority urgency severity
appointment consultation visit
member subscriber
exam test assessment
mark grade score
category type kind class segment group
supplier vendor
carrier courier shipper haulier transporter
channel medium
attrition left leave leaver churn resign quit
rating score star review satisfaction csat nps feedback
humidity moisture
user visitor
store shop branch outlet
warehouse depot
order purchase
conversion convert
cancellation cancel
shipment delivery parcel consignment
transaction payment
ticket case incident issue request enquiry inquiry
close resolve resolution
date day when
price cost
"""


@dataclass(frozen=True)
class Token:
    """One word of a text: as written, in lower case, its stem, and where it stands."""

    text: str
    stem: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        return self.text.lower()


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A rough stem: 'returns', 'returned' and 'return' meet; so do 'delivery' and 'delivered'."""
    word = word.lower().replace("’", "'").removesuffix("'s")
    word = _KEPT.get(word, word)
    if word in _FINAL:
        return word
    word = re.sub(r"missions?$", "mit", word)  # admission, admitted
    return _trim(_shorten(_one(word)))


def _one(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("xes"):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _shorten(word: str) -> str:
    for suffix in _SUFFIXES:
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) >= 3 and any(vowel in rest for vowel in "aeiouy"):
            return rest
    return word


def _trim(word: str) -> str:
    if len(word) > 4 and word[-1] == word[-2] and word[-1] not in "aeious":
        word = word[:-1]
    while len(word) > 3 and word[-1] in "eyi":
        word = word[:-1]
    return word


def tokens(text: str) -> tuple[Token, ...]:
    """The words and numbers of a text, in order."""
    return tuple(
        Token(match.group(), stem(match.group()), match.start(), match.end())
        for match in _WORD.finditer(text)
    )


@lru_cache(maxsize=8192)
def name_stems(name: str, *, unit: bool = False) -> tuple[str, ...]:
    """Stems of an identifier (`unitPrice`, `unit_price`, `Unit price (EUR)`), without filler
    words, and without the unit unless it is asked for."""
    bare = name if unit else _UNIT.sub(" ", name)
    spaced = _CAMEL.sub(" ", bare if tokens(bare) else name).replace("_", " ")
    every = [token.stem for token in tokens(spaced)]
    kept = [one for one in every if one not in _NOISE]
    while not unit and len(kept) > 1 and kept[-1] in _UNITS:
        kept.pop()
    return tuple(kept or every or [name.lower()])


@lru_cache(maxsize=1)
def _families() -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {}
    for number, line in enumerate(_FAMILIES.strip().splitlines()):
        for word in line.split():
            found.setdefault(stem(word), set()).add(number)
    return {word: frozenset(numbers) for word, numbers in found.items()}


def akin(left: str, right: str) -> bool:
    """Whether two stems are the same or stand for one another."""
    if left == right:
        return True
    families = _families()
    return bool(families.get(left, frozenset()) & families.get(right, frozenset()))


def kindred(left: str, right: str) -> bool:
    """Whether two stems begin alike enough to be forms of one word: operate, operator."""
    short, long = sorted((left, right), key=len)
    same = next((i for i, c in enumerate(short) if c != long[i]), len(short))
    return same >= 5 and same >= 0.7 * len(long)


def any_akin(stems: Iterable[str], words: Iterable[str]) -> bool:
    """Whether a stem stands for any of these plain words."""
    wanted = [stem(word) for word in words]
    return any(akin(one, want) for one in stems for want in wanted)


def singular(noun: str) -> str:
    """'orders' → 'order', 'deliveries' → 'delivery'; what is no plural stays."""
    if noun.lower() == "people":
        return "person"
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("sses", "shes", "ches", "xes")):
        return noun[:-2]
    if noun.endswith("s") and not noun.endswith(("ss", "us", "is")):
        return noun[:-1]
    return noun


def plural(noun: str) -> str:
    """The many of a noun: 'order' → 'orders'; what is a plural stays."""
    if noun.endswith("s") and not noun.endswith(("ss", "us", "is")):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou"):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def slug(text: str, *, limit: int = 60) -> str:
    """A name for a file: lower case, words joined by underscores, ASCII only."""
    parts = re.findall(r"[a-z0-9]+", text.lower())
    return "_".join(parts)[:limit].strip("_") or "result"


_SAID_AS = {
    r"\b(?:men|man|males)\b": "male",
    r"\b(?:women|woman|females)\b": "female",
}


def plain(question: str) -> str:
    """A question on one line, in the words that data use for what people say otherwise."""
    text = " ".join(question.split())[:2000]
    for said, meant in _SAID_AS.items():
        text = re.sub(said, meant, text, flags=re.IGNORECASE)
    return text
