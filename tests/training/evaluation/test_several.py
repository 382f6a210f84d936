"""The questions of several sources can be answered from the data as it is delivered: other people's
tools, SQL over the files and the tables, come to the same answers."""

from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from training.evaluation.dataset import Domain, Table
from training.evaluation.scoring import Given, judged
from training.evaluation.several import accounts, settlement, stock

_LINES = r"""
    (SELECT *, regexp_extract(upper("Reference"), 'INV-\d+') AS invoice_no
     FROM read_csv('{files}/settlement/bank-*.csv', delim = ';'))"""
_PRICED = """
    (SELECT c.country, c.segment, i.issued_on, i.amount * r.eur AS eur
     FROM invoices i JOIN customers c USING (customer_id)
     JOIN read_json('{files}/settlement/rates.json') r
       ON r.currency = i.currency AND r.month = strftime(i.issued_on, '%Y-%m')
     WHERE i.status <> 'void')"""
_NEW = """
    (SELECT upper(replace(item_code, 'ar', 'ar-')) AS article, warehouse, units_on_hand AS qty
     FROM '{files}/stock/count-2025.parquet')"""
_OLD = "(SELECT sku AS article, site, qty FROM '{files}/stock/count-2024.csv')"
_EVENTS = """
    (SELECT e.*, a.* FROM read_json('{files}/accounts/events-*.jsonl') e
     JOIN accounts a ON a.email = lower(e."user".email))"""
SQL = {
    "settlement-never-booked": f"""
        SELECT count(*) FROM invoices i WHERE status = 'paid'
        AND NOT EXISTS (SELECT 1 FROM {_LINES} b WHERE b.invoice_no = i.invoice_no)""",
    "settlement-unknown": f"""
        SELECT count(*) FROM {_LINES} WHERE invoice_no NOT IN (SELECT invoice_no FROM invoices)""",
    "settlement-short": f"""
        SELECT count(DISTINCT invoice_no), median(100 * (1 - b."Amount" / i.amount)) || ' %'
        FROM {_LINES} b JOIN invoices i USING (invoice_no) WHERE b."Amount" < i.amount""",
    "settlement-twice": f"""
        SELECT string_agg(invoice_no, ', ') FROM
        (SELECT invoice_no FROM {_LINES} GROUP BY invoice_no HAVING count(*) > 1)""",
    "settlement-revenue": f"SELECT sum(eur) FROM {_PRICED}",
    "settlement-countries": f"SELECT country, count(*), sum(eur) FROM {_PRICED} GROUP BY country",
    "settlement-best-month": f"""
        SELECT strftime(issued_on, '%Y-%m') AS month, sum(eur) AS eur FROM {_PRICED}
        GROUP BY month ORDER BY eur DESC LIMIT 1""",
    "settlement-segment": f"""
        SELECT 100 * sum(eur) FILTER (segment = 'large') / sum(eur) || ' %' FROM {_PRICED}""",
    "stock-growth": f"""
        SELECT 100 * ((SELECT sum(qty) FROM {_NEW} JOIN products USING (article))
        / (SELECT sum(qty) FROM {_OLD} JOIN products USING (article)) - 1) || ' %'""",
    "stock-categories": f"""
        SELECT category, sum(qty) FILTER (year = 2024), sum(qty) FILTER (year = 2025)
        FROM (SELECT article, qty, 2025 AS year FROM {_NEW}
              UNION ALL SELECT article, qty, 2024 FROM {_OLD})
        JOIN products USING (article) GROUP BY category""",
    "stock-order": f"""
        SELECT string_agg(category, ', ' ORDER BY grown DESC) FROM
        (SELECT category, sum(n.qty) / sum(o.qty) AS grown
         FROM (SELECT article, sum(qty) AS qty FROM {_NEW} GROUP BY article) n
         JOIN (SELECT article, sum(qty) AS qty FROM {_OLD} GROUP BY article) o USING (article)
         JOIN products USING (article) GROUP BY category)""",
    "stock-unknown": f"""
        SELECT count(DISTINCT article) FROM {_NEW} ANTI JOIN products USING (article)""",
    "stock-worth": f"""
        SELECT warehouse, sum(qty * unit_cost) AS worth FROM {_NEW} JOIN products USING (article)
        GROUP BY warehouse ORDER BY worth DESC LIMIT 1""",
    "stock-supplier": f"""
        SELECT supplier_name, 100 * avg((qty = 0)::INT) || ' %' AS share
        FROM {_NEW} JOIN products USING (article) JOIN suppliers USING (supplier_id)
        GROUP BY supplier_name ORDER BY avg((qty = 0)::INT) DESC LIMIT 1""",
    "stock-nowhere": f"""
        SELECT count(*) FROM (SELECT article FROM {_NEW} JOIN products USING (article)
        GROUP BY article HAVING max(qty) = 0)""",
    "accounts-quiet": f"""
        SELECT count(*) FROM accounts WHERE email NOT IN (SELECT email FROM {_EVENTS})""",
    "accounts-exports": f"""
        SELECT plan, 100 * avg((kind = 'export')::INT) || ' %' FROM {_EVENTS}
        GROUP BY plan ORDER BY avg((kind = 'export')::INT) DESC LIMIT 1""",
    "accounts-plans": f"""
        SELECT plan, count(DISTINCT account_id), count(*) FROM {_EVENTS} GROUP BY plan""",
    "accounts-industry": f"""
        SELECT industry, count(*) / count(DISTINCT account_id) AS each FROM {_EVENTS}
        GROUP BY industry ORDER BY each DESC LIMIT 1""",
    "accounts-busiest": f"""
        SELECT strftime("at", '%Y-%m') AS month, count(*) AS n FROM {_EVENTS}
        WHERE plan = 'Business' GROUP BY month ORDER BY n DESC LIMIT 1""",
    "accounts-top": f"""
        SELECT email, count(*) AS n FROM {_EVENTS} GROUP BY email ORDER BY n DESC LIMIT 1""",
    "accounts-upgraded": f"""
        SELECT (SELECT count(*) FROM plan_changes WHERE from_plan = 'Free'),
        (SELECT count(DISTINCT account_id) FROM {_EVENTS} JOIN plan_changes c USING (account_id)
         WHERE c.from_plan = 'Free' AND kind = 'export' AND "at" >= c.changed_on)""",
}
DOMAINS = {"settlement": settlement.domain, "stock": stock.domain, "accounts": accounts.domain}


@cache
def made(name: str) -> Domain:
    return DOMAINS[name]()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    for name in DOMAINS:
        for path, content in made(name).files.items():
            assert isinstance(content, bytes)
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
    return folder


def asked(domain: Domain, sql: str, files: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        for name, frame in domain.tables.items():
            connection.register(name, frame)
        return list(connection.execute(sql.replace("{files}", str(files))).fetchall())


@pytest.mark.req("T5")
@pytest.mark.parametrize("id", SQL)
def test_sql_comes_to_the_same_answer(id: str, files: Path) -> None:
    domain = made(id.partition("-")[0])
    (question,) = (each for each in domain.questions if each.id == id)
    rows = asked(domain, SQL[id], files)
    assert judged(question, Given(answer(question.expects[0], rows))).right, rows


def answer(expected: object, rows: list[tuple[Any, ...]]) -> str:
    """As an analyst would write it."""
    if isinstance(expected, Table):
        head = f"| {' | '.join(expected.columns)} |\n{'| - ' * len(expected.columns)}|\n"
        return head + "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)
    ((*cells,),) = rows
    return "; ".join(map(str, cells))


def test_every_question_that_can_be_answered_is_shown() -> None:
    told = {q.id for name in DOMAINS for q in made(name).questions if not q.refuses}
    assert told == set(SQL)
