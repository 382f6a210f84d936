"""The pages are whole in themselves, run nothing, and show everything that they are made of."""

import re
from html.parser import HTMLParser

import pytest

from tests.training.evaluation.made import asks, failed, result
from training.evaluation.comparison import compared
from training.evaluation.dataset import Number, Table, Words
from training.evaluation.report import beside, charts, document, frame
from training.evaluation.report.style import STYLE
from training.evaluation.results import Result

HOSTILE = '<script>alert(1)</script> **b** ![x](https://e.example/p.png) [f](data.csv "t") [j](javascript:x)'
VOID = {"meta", "input", "br", "hr", "rect", "path", "img"}


class Tags(HTMLParser):
    """Every element, each closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert self.open == ["html"] or self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.seen if name == tag]


def results() -> list[Result]:
    one, other = asks(Number(1), id="one"), asks(Words(("<b>",)), id="other")
    third = asks(Table(("a",), ((1,),)), id="third")
    return [
        result(one, "1", attempt=1),
        result(one, HOSTILE, attempt=2),
        result(other, f"{HOSTILE} \n\n# Heading\n\n| a |\n| - |\n| 1 |"),
        failed(third),
        result(asks(refuses=True, id="fourth"), "It is 3.", part="several"),
    ]


def pages() -> dict[str, str]:
    mine, theirs = results(), [result(each.question, "1") for each in results()[1:]]
    comparison = compared(("base <1>", "adapter"), mine, theirs)
    return {"report": document.written("Of <x>", mine), "comparison": beside.page(comparison)}


@pytest.mark.req("T5")
@pytest.mark.parametrize("name", ["report", "comparison"])
def test_page_runs_and_loads_nothing(name: str) -> None:
    page = Tags(pages()[name])
    policy = next(each for each in page.named("meta") if "http-equiv" in each)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"
    tags = {tag for tag, _ in page.seen}
    assert not tags & {"script", "img", "link", "iframe", "object", "form"}
    for tag, attrs in page.seen:
        assert "src" not in attrs and not any(each.startswith("on") for each in attrs), tag
        assert (attrs.get("href") or "https://").startswith(("https://", "http://"))
    assert "url(" not in STYLE and "@import" not in STYLE


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_page_can_be_heard(name: str) -> None:
    page = Tags(pages()[name])
    assert page.named("html")[0]["lang"] == "en"
    assert len(page.named("h1")) == 1
    figures = page.named("svg")
    assert figures and all(each["role"] == "img" and each["aria-label"] for each in figures)
    signs = [a for t, a in page.seen if t == "span" and str(a.get("class")).startswith("mark")]
    assert signs and {each["aria-label"] for each in signs} == {"right", "not right"}
    assert all("scope" in each for each in page.named("th") if each)
    assert len(page.named("caption")) >= 1


def test_report_has_all_there_is() -> None:
    page = pages()["report"]
    for told in (
        "Of &lt;x&gt;", "attempt 2", "run failed: MODEL_UNAVAILABLE", "The model is gone.",
        "answered what cannot be told", "print(1)", "NameError", "2 programs, 1 failed",
        "to be told that the data cannot tell", "[figure: x]", "&lt;script&gt;alert(1)", "run-other",
        "<h4>Heading</h4>", "<td>1</td>", "900 + 100 tokens",
    ):  # fmt: skip
        assert told in page, told


def test_of_nothing_but_right_answers() -> None:
    assert "All answers are right." in document.written("t", [result(asks(Number(1)), "1")])


def test_bars_are_as_long_as_their_shares() -> None:
    drawn = charts.bars("t", [charts.Bar("<l>", 0.5, "50%", behind=0.75), charts.Bar("m", 0, "0%")])
    widths = [float(w) for w in re.findall(r'class="(?:right|partly)"[^>]*width="([\d.]+)"', drawn)]
    track = float(re.findall(r'class="track"[^>]*width="([\d.]+)"', drawn)[0])
    assert widths == pytest.approx([track * 0.75, track * 0.5])
    assert "&lt;l&gt;" in drawn


@pytest.mark.parametrize(
    ("right", "wrong", "columns", "marks"),
    [
        ([], [], 0, ["0"]),
        ([2, 2], [2], 2, ["2"]),
        ([1, 2, 3], [3], 4, ["1", "2", "3"]),
        ([0.0], [1000.0], 2, ["0", "500", "1.1k"]),
        ([5.5], [5.5], 2, ["5", "6"]),
    ],
)
def test_histograms(right: list[float], wrong: list[float], columns: int, marks: list[str]) -> None:
    drawn = charts.histogram("t", right, wrong, "u")
    assert len(re.findall(r'<rect class="(?:right|wrong)"', drawn)) == columns
    below = re.findall(r'y="1(?:45|61)" text-anchor="\w+">([^<]+)<', drawn)
    assert below[-1] == "u" and [each for each in below[:-1] if each in marks] == marks


def test_every_value_is_in_a_column() -> None:
    values = [0.1 * at for at in range(100)]
    edges = charts._edges(values)
    assert sum(charts._counted(values, edges)) == 100
    assert edges[0] <= min(values) and edges[-1] >= max(values)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_texts_can_be_read_light_and_dark() -> None:
    schemes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", part))
        for part in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[:2]
    ]
    for colours in schemes:
        for ink in ("ink", "soft", "right", "wrong"):
            for ground in ("paper", "tint"):
                assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_links_of_a_run_lead_nowhere() -> None:
    told = frame.markdown("[a](x.csv) [b](https://e.example/)")
    assert "x.csv" not in told and 'href="https://e.example/"' in told
