"""Rules for secrets: shapes that issuers document, and values that are called a password."""

import re

from training.data.scrub.rule import Removed, Rule, is_distinct

# what issuers' keys look like, by what they hold in lower case
_KEYS = {
    ("akia", "asia", "abia", "acca"): r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"): r"gh[pousr]_[A-Za-z0-9]{36,}",
    ("github_pat_",): r"github_pat_[A-Za-z0-9_]{22,}",
    ("glpat-", "gldt-", "glrt-", "glsoat-"): r"gl(?:pat|dt|rt|soat)-[\w-]{20,}",  # GitLab
    ("xox", "xapp-"): r"xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{10,}",  # Slack
    # OpenAI, Anthropic, and those that took the shape over
    ("sk-",): r"sk-(?:[a-z]+-){0,4}[A-Za-z0-9_-]{20,}",
    ("aiza", "gocspx-", "ya29."): r"AIza[\w-]{35}|GOCSPX-[\w-]{28}|ya29\.[\w-]{20,}",  # Google
    ("_live_", "_test_", "whsec_"): (  # Stripe
        r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{24,}"
    ),
    ("sg.",): r"SG\.[\w-]{16,32}\.[\w-]{16,64}",  # SendGrid
    ("hf_",): r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    ("npm_", "pypi-"): r"npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}",
    ("dapi", "_v1_"): r"dapi[a-f0-9]{32}|do[opr]_v1_[a-f0-9]{64}",  # Databricks, DigitalOcean
    ("hvs.", "hvb.", "hvr."): r"hv[bsr]\.[\w-]{24,}",  # HashiCorp Vault
    ("7q~", "8q~"): r"[\w~.-]{3}[78]Q~[\w~.-]{31,34}",  # client secrets of Microsoft Entra
    ("isb-",): r"isb-[\w-]{20,}",  # Isobath
    # 64 bytes: keys of Azure Storage, Cosmos DB, Batch
    ("==",): r"[A-Za-z0-9+/]{86}==",
}
_STRONG = r"pass(?:word|wd|phrase)|pwd|secret"
_WEAK = (
    r"(?:account|storage|shared|access|api|auth|secret|private|encryption|signing|master)[_-]?key"
    r"|token|credential"
)
# words that stand where a value would, and say that there is none, or of which type it is
_WORDS = """
    none null nil true false undefined text string str varchar char character bytea bytes object
    json required optional hidden masked redacted removed secret password passwd token prompt
    environment default missing invalid incorrect expired wrong empty unset integer number
"""
_NO_VALUE = frozenset(_WORDS.split())
_ENTITY = r"\\*[\"']"
_BRACKETS = {")": "(", "]": "[", "}": "{"}
_CODE = re.compile(r"[\[\](){}$*]|^%|^<|^\.{2,}|^[a-z_]\w*\.[a-z_]")


def _value(value: str) -> str:
    """Not code, no type, no placeholder of somebody's template."""
    value = _balanced(value.partition("</")[0].rstrip("\\"))
    return "" if not value.strip() or value.lower() in _NO_VALUE or _CODE.search(value) else value


def _balanced(value: str) -> str:
    """Without brackets at its end that were opened before it."""
    while value and value[-1] in _BRACKETS and _BRACKETS[value[-1]] not in value:
        value = value[:-1]
    return value


def _quoted(value: str) -> str:
    """In quotes nothing is code, but a template's fields."""
    value = value.partition("</")[0]
    is_template = re.fullmatch(r"\W*|\$?\{.*\}|%\(?.*|<.*>|\*+", value)
    return "" if value.lower() in _NO_VALUE or is_template else value


def _distinct_quoted(value: str) -> str:
    return value if is_distinct(value, 8) and _quoted(value) and " " not in value else ""


def _distinct(value: str) -> str:
    value = _value(value)
    return value if is_distinct(value) else ""


def _assigned(names: str, quote: str, value: str, sign: str = r"(?:=>|[:=]=?)") -> re.Pattern[str]:
    """`name = value`, in code, in JSON, in JSON within JSON, in a URL, in a line of settings."""
    rest = rf"(?:[_-][A-Za-z0-9_-]{{1,24}}|\d{{1,3}})?(?:{_ENTITY})?(?:\])?\s{{0,3}}"
    return re.compile(rf"(?i)(?:{names}){rest}{sign}\s{{0,3}}{quote}{value}")


# a quote may be escaped, as in JSON within JSON; the one that ends a value has as many escapes
_IN_QUOTES = r"[rbfu]{0,2}(?P<escape>\\+)?(?P<quote>[\"'])"
_UP_TO_QUOTE = (
    r"(?P<value>[^\n]{1,512}?)(?<!\\)(?(escape)(?:\\{4})*(?P=escape)|(?:\\{2})*)(?P=quote)"
)
_BARE = r"(?P<value>[^\s\"'`,;&<>\\]{6,512})"
_STRONG_HINTS = ("pass", "pwd", "secret")
_WEAK_HINTS = ("key", "token", "credential")

RULES = (
    Rule(
        "private-key",
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----"
            r"(?P<value>(?:(?:\s|\\+[nr]|[\"'+,])*[A-Za-z0-9+/=]{16,})+"
            r"(?:(?:\s|\\+[nr]|[\"'+,])*[A-Za-z0-9+/=]{1,15}(?=(?:\s|\\+[nr]|[\"'+,])*-----END))?)"
        ),
        Removed("private-key"),
        hints=("private key",),
    ),
    Rule(
        "account-key",
        re.compile(r"(?i)(?:AccountKey|SharedAccessKey)\s?=\s?(?P<value>[A-Za-z0-9+/=%]{8,})"),
        Removed("account-key"),
        hints=("accountkey", "sharedaccesskey"),
    ),
    Rule(
        "sas-signature",
        re.compile(r"(?i)\bsig(?:=|%3d)(?P<value>[A-Za-z0-9%+/=_-]{10,})"),
        Removed("sas-signature"),
        hints=("sig",),
    ),
    Rule(
        "jwt",
        re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*){1,3}"),
        Removed("jwt"),
        hints=("eyj",),
    ),
    *(
        Rule(
            "api-key",
            re.compile(rf"(?<![A-Za-z0-9+/])(?:{shape})(?![A-Za-z0-9+/=])"),
            Removed("api-key"),
            hints=hints,
        )
        for hints, shape in _KEYS.items()
    ),
    Rule(
        "webhook",
        re.compile(r"(?i)hooks\.slack\.com/services/(?P<value>[A-Za-z0-9/]{20,})"),
        Removed("webhook"),
        hints=("hooks.slack.com",),
    ),
    Rule(
        "authorization",
        re.compile(r"(?i)\b(?:bearer|basic)\s{1,3}(?P<value>[A-Za-z0-9._~+/=-]{12,})"),
        Removed("authorization"),
        _distinct,
        hints=("bearer", "basic"),
    ),
    Rule(
        "url-password",
        re.compile(
            r"(?i)[a-z][a-z0-9+.-]{1,30}://[^\s:/@'\"<>]{0,128}:(?P<value>[^\s/'\"<>]{1,256})@"
        ),
        Removed("password"),
        _quoted,
        hints=("://",),
    ),
    Rule(
        "url-token",
        re.compile(r"(?i)[a-z][a-z0-9+.-]{1,30}://(?P<value>[^\s:/@'\"<>]{8,256})@"),
        Removed("token"),
        _distinct,
        hints=("://",),
    ),
    Rule(
        "password",
        _assigned(_STRONG, _IN_QUOTES, _UP_TO_QUOTE),
        Removed("password"),
        _quoted,
        hints=_STRONG_HINTS,
    ),
    Rule(
        "password",
        _assigned(_STRONG, "", _BARE),
        Removed("password"),
        _distinct,
        hints=_STRONG_HINTS,
    ),
    # of a connection string or a shell: no spaces around the sign, no comma or bracket after it
    Rule(
        "password",
        re.compile(
            rf"(?i)(?:{_STRONG})=(?P<value>[^\s\"'`,;&<>\\()\[\]{{}}$]{{4,512}})(?=[;\s&\"']|$)"
        ),
        Removed("password"),
        _value,
        hints=_STRONG_HINTS,
    ),
    Rule(
        "password",
        _assigned(
            _STRONG, "", r"(?P<value>[^\s\"'`,;<>\\]{6,512}(?<![.,;:!?]))", r"\b(?:is|was)\b"
        ),
        Removed("password"),
        _distinct,
        hints=_STRONG_HINTS,
    ),
    Rule(
        "token",
        _assigned(_WEAK, _IN_QUOTES, _UP_TO_QUOTE),
        Removed("token"),
        _distinct_quoted,
        hints=_WEAK_HINTS,
    ),
    Rule(
        "token",
        _assigned(_WEAK, "", _BARE.replace("6,", "8,")),
        Removed("token"),
        _distinct,
        hints=_WEAK_HINTS,
    ),
)
