"""What is found, what is left, rule by rule."""

import random

import pytest

from training.data.scrub.scrubbing import Stretch, scrubbed
from training.data.scrub.table import NAMES, RULES, RulesError, chosen, own_rules

KEY88 = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nq7BFUpkGp3+L\n-----END RSA PRIVATE KEY-----"
)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"

# {rule: (text, what must go)}
FOUND = [
    ("private-key", PEM, "MIIEowIBAAKCAQEA"),
    ("private-key", PEM.replace("\n", "\\n"), "q7BFUpkGp3+L"),
    ("private-key", "k = ('" + PEM.replace("\n", "\\n'\n     '") + "')", "q7BFUpkGp3+L"),
    ("account-key", f"AccountName=a;AccountKey={KEY88};EndpointSuffix=x", KEY88),
    (
        "account-key",
        "Endpoint=sb://x/;SharedAccessKey=abcdEFGH1234abcdEFGH1234=",
        "abcdEFGH1234abcdEFGH1234=",
    ),
    (
        "sas-signature",
        "https://a.blob.core.windows.net/c?sv=2024&sig=a1B2%2Bc3D4e5F6%3D&se=1",
        "a1B2%2Bc3D4e5F6%3D",
    ),
    ("jwt", f"token {JWT}.", JWT),
    ("api-key", f"key is {KEY88}", KEY88),
    ("api-key", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("api-key", "ghp_" + "a1B2c3D4e5F6" * 3, "a1B2c3D4e5F6"),
    ("api-key", "github_pat_11ABCDEFG0abcdefghijkl", "11ABCDEFG0"),
    ("api-key", "glpat-abcdefghij0123456789", "abcdefghij0123456789"),
    ("api-key", "xoxb-1234567890-abcdefghij", "1234567890-abcdefghij"),
    ("api-key", "sk-proj-abcdEFGH1234abcdEFGH1234", "abcdEFGH1234"),
    ("api-key", "sk-ant-api03-abcdEFGH1234abcdEFGH", "abcdEFGH1234"),
    ("api-key", "AIza" + "Sy0" * 11 + "ab", "Sy0Sy0"),
    ("api-key", "sk_live_abcdefgh12345678", "abcdefgh12345678"),
    ("api-key", "SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuv"),
    ("api-key", "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "abcdefghijklmn"),
    ("api-key", "npm_" + "a1" * 18, "a1a1a1a1"),
    ("api-key", "dapi0123456789abcdef0123456789abcdef", "0123456789abcdef"),
    ("api-key", "hvs.CAESIJabcdefghijklmnopqrstu", "CAESIJabcdef"),
    ("api-key", "abc8Q~" + "dEf_1-2.3" * 4, "dEf_1-2.3"),
    ("api-key", "isb-" + "aB3_" * 8, "aB3_aB3_"),
    ("webhook", "https://hooks.slack.com/services/T000/B000/abcdefghijklmnop", "abcdefghijklmnop"),
    ("authorization", "Authorization: Bearer abc123DEF456ghi", "abc123DEF456ghi"),
    ("authorization", "-H 'authorization: basic bWU6aHVudGVyMg=='", "bWU6aHVudGVyMg=="),
    ("url-password", "postgres://me:s3cret@db/x", "s3cret"),
    ("url-password", "mongodb+srv://:onlypass@h", "onlypass"),
    ("url-password", "amqp://u:p%40ss@h", "p%40ss"),
    ("url-password", "postgres://u:p@ss@h/x", "p@ss"),
    ("url-token", "https://abc123DEF@git.example.com/x", "abc123DEF"),
    ("password", "password=hunter2hunter", "hunter2hunter"),
    ("password", "PGPASSWORD=letmein psql", "letmein"),
    ("password", "Server=x;Pwd=letmein;", "letmein"),
    ("password", "host=db password=letmein dbname=x", "letmein"),
    ("password", 'connect(password="let me in!")', "let me in!"),
    ("password", "connect(password = 'x')", "'x'"),
    ("password", '{"password": "pa\\"ss"}', 'pa\\"ss'),
    ("password", '"{\\"db_password\\": \\"hunter2\\"}"', "hunter2"),
    ("password", "os.environ['DB_PASSWORD'] = 'Tr0ub4dor'", "Tr0ub4dor"),
    ("password", "passphrase: correct-Horse7", "correct-Horse7"),
    ("password", "the password is Tr0ub4dor.", "Tr0ub4dor"),
    ("password", "client_secret => 'abc~123.X'", "abc~123.X"),
    ("token", 'api_key: "abcd1234efgh"', "abcd1234efgh"),
    ("token", "X-API-Key: abcd1234efgh", "abcd1234efgh"),
    ("token", "AWS_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPx", "wJalrXUtnFEMI/K7MDENG+bPx"),
    ("token", "refresh_token=1//0abcDEF-123", "1//0abcDEF-123"),
    ("email", "ask anna.b+x@firma.co.uk.", "anna.b+x@firma.co.uk"),
    ("email", "mailto:jörg@müller.de", "jörg@müller.de"),
    ("iban", "DE89370400440532013000", "DE89370400440532013000"),
    ("iban", "to GB29 NWBK 6016 1331 9268 19 EUR", "GB29 NWBK 6016 1331 9268 19"),
    ("payment-card", "4111 1111 1111 1111", "4111 1111 1111 1111"),
    ("payment-card", "card=378282246310005", "378282246310005"),
    ("phone", "call +49 30 901820", "+49 30 901820"),
    ("phone", "+1 (212) 736-5000", "+1 (212) 736-5000"),
    ("phone", "(212) 736-5000", "(212) 736-5000"),
    ("phone", "Tel.: 030/90 18 20", "030/90 18 20"),
    ("ip-address", "host 10.20.30.40", "10.20.30.40"),
    ("ip-address", "from 2a00:1450:4001:82a::200e", "2a00:1450:4001:82a::200e"),
    ("us-ssn", "536-90-4399", "536-90-4399"),
    ("br-cpf", "390.533.447-05", "390.533.447-05"),
    ("ch-ahv", "756.9217.0769.85", "756.9217.0769.85"),
    ("es-dni", "54362315K", "54362315K"),
    ("es-nie", "X-2482300-W", "X-2482300-W"),
    ("fi-hetu", "131052-308T", "131052-308T"),
    ("fr-nir", "2 95 10 99 126 111 93", "2 95 10 99 126 111 93"),
    ("in-aadhaar", "2341 2341 2346", "2341 2341 2346"),
    ("it-codice-fiscale", "RCCMNL83S18D969H", "RCCMNL83S18D969H"),
    ("se-personnummer", "880320-0016", "880320-0016"),
    ("de-idnr", "Steuer-ID: 36 574 261 809", "36 574 261 809"),
    ("gb-nhs", "NHS number: 943-476-5870", "943-476-5870"),
    ("pl-pesel", "PESEL 44051401359", "44051401359"),
]

LEFT = [
    "tokens per order: 12; key figures: revenue 5; max_token_len=4096",
    "mean revenue = 12.5, p = 0.4111111111111111, 2024-05-01 12:34:56.789",
    'password = os.environ["PGPASSWORD"]',
    "password = getpass.getpass()",
    "connect(host=host, password=password, user=u)",
    "connect(password=pw, user=u)",
    'f"postgres://{user}:{password}@{host}/db"',
    "postgres://user:${PASSWORD}@db/x and postgres://user:***@db/x",
    '{"name": "password", "type": "text"}, {"name": "password_hash", "type": "varchar"}',
    "password: text not null, secret: varchar(20)",
    '{"password": null, "token": "", "secret": "***", "pwd": "<password>"}',
    "the password is wrong; the token was missing; token = tokens[0]",
    "tokenizer = 'gpt2'; secretary = 'Anna'; primary_key = 'order_id'",
    "a[1::2], x @ y.T, @app.route, b@c, Basic characteristics",
    "people@example.com, x@y.test, root@localhost",
    "127.0.0.1, 0.0.0.0, 192.0.2.7, 198.18.0.1, 255.255.255.0, v1.2.3.4, 1.2.3, ::1, 2001:db8::1",
    "4111 1111 1111 1112, 1234567890123456, 20240501120000, 0.4111111111111111",
    "order 100-200-3000, +15.3 %, +1 to 3, 1+2+3, tel aviv 1909",
    "DE89370400440532013001, ABCDEF12G34H567I, 390.533.447-06, 536-90-43999, 666-12-3456",
    "sk-learn, sig=1.96, sigma=0.5, key=lambda x: x",
]


def clean(text: str) -> tuple[str, dict[str, int]]:
    (stretch,), counts = scrubbed([Stretch(text)], RULES)
    return stretch.text, dict(counts)


@pytest.mark.req("T3")
@pytest.mark.parametrize(("rule", "text", "value"), FOUND)
def test_rule_finds(rule: str, text: str, value: str) -> None:
    for around in ("{}", "a line\n{}\nanother", "({})", '"x", {}'):
        found, counts = clean(around.format(text))
        assert value not in found, found
        assert rule in counts, counts
        assert clean(found) == (found, {}), "what stands in is left"


def test_every_rule_is_shown() -> None:
    assert {rule for rule, _, _ in FOUND} == set(NAMES)


@pytest.mark.req("T3")
@pytest.mark.parametrize("text", LEFT)
def test_analysis_is_left_alone(text: str) -> None:
    assert clean(text) == (text, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://me:s3cret@db.firma.de/x", "postgres://me:REMOVED_PASSWORD_1@db.firma.de/x"),
        ("a@b.de c@d.de A@B.de", "person1@example.com person2@example.com person1@example.com"),
        ("a@b.de person1@example.com", "person2@example.com person1@example.com"),
        ("10.1.1.1 10.1.1.2 10.1.1.1", "198.18.0.1 198.18.0.2 198.18.0.1"),
        ("DE89 3704 0044 0532 0130 00", "DE00 0000 0000 0000 0000 01"),
        ("4111-1111-1111-1111 4111111111111111", "0000-0000-0000-0001 0000000000000001"),
        ("+49 30 901820 or +4930901820", "+00 00 000001 or +0000000001"),
        ("54362315K", "00000001X"),
        ("SharedAccessKey=abcd1234EFGH==;x", "SharedAccessKey=REMOVED_ACCOUNT_KEY_1;x"),
    ],
)
def test_stand_ins_keep_the_shape(text: str, expected: str) -> None:
    assert clean(text)[0] == expected


def test_rules_can_be_left_out() -> None:
    (stretch,), counts = scrubbed([Stretch("a@b.de 10.1.1.1")], chosen(["email"]))
    assert (stretch.text, dict(counts)) == ("a@b.de 198.18.0.1", {"ip-address": 1})
    with pytest.raises(RulesError, match="no rule is called mail; there are: private-key"):
        chosen(["mail"])


@pytest.mark.req("T3")
def test_own_rules_come_first(tmp_path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("[rules]\nemployee-id = 'E\\d{6}'\nwho = 'by (?P<value>\\w+@\\S+)'\n")
    (stretch,), counts = scrubbed([Stretch("E123456 by a@b.de")], chosen([], own_rules(path)))
    assert stretch.text == "REMOVED_EMPLOYEE_ID_1 by REMOVED_WHO_1"
    assert dict(counts) == {"employee-id": 1, "who": 1}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules", "cannot be read as TOML"),
        ("[other]", "needs a table"),
        ("[rules]\nx = '('", "the pattern of x is wrong"),
        ("[rules]\nx = 1", "the pattern of x has to be text"),
        ("[rules]\nx = 'a*'", "fits nothing at all"),
    ],
)
def test_own_rules_that_are_wrong(tmp_path, text: str, told: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(RulesError, match=told):
        own_rules(path)


@pytest.mark.parametrize(
    "unit", ["a", "a.", "A1", "1 ", "://", "=", '"', "\\", "eyJ", "password", "1.1"]
)
def test_long_runs_of_anything_take_no_long_time(unit: str) -> None:
    """None of the patterns goes back over what it read: twenty times the text is not 400 times the
    work, which would be minutes."""
    text = unit * (200_000 // len(unit))
    clean(text)
    random.seed(unit)
    clean("".join(random.choices(unit + " x", k=50_000)))
