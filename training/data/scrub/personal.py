"""Rules for what tells of a person: numbers with a checksum, addresses of mail and of machines.

Names of people are not found: that takes a model, and is wrong too often without. A rule of your
own can name those that you know of.
"""

import ipaddress
import re
from types import ModuleType

import phonenumbers
from stdnum import iban, luhn
from stdnum.br import cpf
from stdnum.ch import ssn as ahv
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.us import ssn

from training.data.scrub.rule import Check, Made, Removed, Rule, Shaped, compact

# RFC 2606, RFC 6761: nobody's addresses
_NOBODYS = re.compile(r"(?i)(?:^|\.)(?:example\.(?:com|org|net)|example|test|invalid|localhost)$")
_AT = re.compile("@|%40")
# RFC 5737, RFC 3849, RFC 2544: machines of documents and of benchmarks
_NO_MACHINES = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15", "2001:db8::/32"),
    )
)
_STAND_IN_V4 = int(ipaddress.IPv4Address("198.18.0.0"))
_STAND_IN_V6 = int(ipaddress.IPv6Address("2001:db8::"))
# ISO/IEC 7812: what the numbers of payment cards begin with, and how long they are
_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}"
)


def _email(value: str) -> str:
    local, domain = _AT.split(value)
    return "" if _NOBODYS.search(domain) or Removed("").made(local) else value


def _international(value: str) -> str:
    return value if _is_phone(value, None) else ""


def _american(value: str) -> str:
    return value if _is_phone(value, "US") else ""


def _is_phone(value: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(value, region))
    except phonenumbers.NumberParseException:
        return False


def _iban(value: str) -> str:
    """The longest beginning that is one: words in capitals may follow."""
    for end in range(len(value), 14, -1):
        if value[end - 1] != " " and iban.is_valid(value[:end]):
            return value[:end]
    return ""


def _card(value: str) -> str:
    digits = compact(value)
    return value if _CARD.fullmatch(digits) and luhn.is_valid(digits) else ""


def _machine(value: str) -> str:
    """An address of one machine that there may be."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return ""
    nobodys = address.is_loopback or address.is_unspecified or address.is_multicast
    if nobodys or address.is_reserved or any(address in net for net in _NO_MACHINES):
        return ""
    return value


def _v4(value: str, number: int) -> str:
    return str(ipaddress.IPv4Address(_STAND_IN_V4 + number))


def _v6(value: str, number: int) -> str:
    return str(ipaddress.IPv6Address(_STAND_IN_V6 + number))


def _same_address(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _valid(module: ModuleType) -> Check:
    return lambda value: value if module.is_valid(value) else ""


# those that cannot be taken for any number: with letters, with their own punctuation, or with a
# checksum of two digits
_IDS = {
    "us-ssn": (r"\d{3}-\d\d-\d{4}", ssn),
    "br-cpf": (r"\d{3}\.\d{3}\.\d{3}-\d\d", cpf),
    "ch-ahv": (r"756\.\d{4}\.\d{4}\.\d\d", ahv),
    "es-dni": (r"\d{8}-?[A-Z]", dni),
    "es-nie": (r"[XYZ]-?\d{7}-?[A-Z]", nie),
    "fi-hetu": (r"\d{6}[-+A-F]\d{3}[0-9A-Y]", hetu),
    "fr-nir": (r"[12] ?\d\d ?[01]\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d", nir),
    "in-aadhaar": (r"\d{4} \d{4} \d{4}", aadhaar),
    "it-codice-fiscale": (r"[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z]", codicefiscale),
    "se-personnummer": (r"\d{6}(?:\d\d)?[-+]\d{4}", personnummer),
}
# those of digits alone, where the words before them say what they are
_NAMED_IDS = {
    "de-idnr": (
        ("steuer", "tax", "idnr"),
        r"(?:steuer-?(?:id|identifikationsnummer)|tax[ _-]?id|idnr)",
        r"\d[\d ]{9,13}\d",
        idnr,
    ),
    "gb-nhs": (("nhs",), r"nhs(?:[ _-]?(?:number|no))?", r"\d{3}[ -]?\d{3}[ -]?\d{4}", nhs),
    "pl-pesel": (("pesel",), "pesel", r"\d{11}", pesel),
}
_DIGITS_OF_CARD = r"\d(?:[ -]?\d){12,18}"
_PHONE_OF_US = r"(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_V4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
# of the networks that there are; `a[1::2]` is code
_V6 = r"(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f])(?::[0-9a-f]{0,4}){2,7}"


def _alone(*shapes: str) -> re.Pattern[str]:
    """No part of a word or of a longer number."""
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(shapes)})(?![\w-]|\.\w)")


_SCREEN = _alone(*(shape for shape, _ in _IDS.values()), _DIGITS_OF_CARD, _PHONE_OF_US, _V4)


def _shaped(name: str, shape: str, check: Check) -> Rule:
    return Rule(name, _alone(shape), Shaped(), check, compact, screen=_SCREEN)


def _named(name: str, hints: tuple[str, ...], words: str, shape: str, check: Check) -> Rule:
    pattern = rf"(?i){words}\W{{1,6}}(?P<value>{shape})(?![\w-]|\.\d)"
    return Rule(name, re.compile(pattern), Shaped(), check, compact, hints)


RULES = (
    Rule(
        "email",
        re.compile(
            r"(?<![\w.+-])[\w.+-]{1,64}(?:@|%40)(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])"
        ),
        Made(lambda value, number: f"person{number}@example.com"),
        _email,
        lambda value: value.casefold().replace("%40", "@"),
        hints=("@", "%40"),
    ),
    Rule(
        "iban",
        re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])"),
        Shaped(keep=2),
        _iban,
        compact,
    ),
    _shaped("payment-card", _DIGITS_OF_CARD, _card),
    *(_shaped(name, shape, _valid(module)) for name, (shape, module) in _IDS.items()),
    *(
        _named(name, hints, words, shape, _valid(module))
        for name, (hints, words, shape, module) in _NAMED_IDS.items()
    ),
    Rule(
        "phone",
        re.compile(r"(?<![\w+])\+\d(?:(?:[ .\-/\u00a0]| ?\(|\)[ -]?)?\d){6,14}(?!\w)"),
        Shaped(),
        _international,
        compact,
        hints=("+",),
    ),
    _shaped("phone", _PHONE_OF_US, _american),
    Rule(
        "phone",
        re.compile(
            r"(?i)(?:\btel(?:efon|ephone)?|phone|mobil(?:e|funk)?|\bfax)(?:[_ ]?(?:number|no|nr))?"
            r"[\"']?\W{1,4}(?P<value>\(?0\d(?:[ ()/-]{0,2}\d){5,13})(?![\w-]|\.\d)"
        ),
        Shaped(),
        key=compact,
        hints=("tel", "phone", "mobil", "fax"),
    ),
    Rule("ip-address", _alone(_V4), Made(_v4), _machine, _same_address, screen=_SCREEN),
    Rule(
        "ip-address",
        re.compile(rf"(?i)(?<![\w:.]){_V6}(?![\w:])"),
        Made(_v6),
        _machine,
        _same_address,
    ),
)
