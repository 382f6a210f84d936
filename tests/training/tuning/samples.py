"""Conversations as the platform records them, made here: a question, programs, what they printed,
and an answer. Numbers come from a fixed seed, so that one conversation is none of the others."""

import json
import random
from pathlib import Path
from typing import Any

REGIONS = ("north", "south", "east", "west", "centre")
MEASURES = ("returns", "orders", "revenue", "delays", "visits", "refunds", "complaints")


def conversation(number: int, *, rounds: int = 2) -> dict[str, Any]:
    """One line of a data set; each has its own words."""
    choose = random.Random(number)
    measure = MEASURES[number % len(MEASURES)]
    table = {region: choose.randrange(1_000, 99_000) for region in REGIONS}
    best = max(table, key=lambda region: table[region])
    messages = [_said("user", _question(number, measure, choose))]
    for program in range(rounds):
        messages.append(_said("assistant", _program(program, measure, choose)))
        messages.append(_said("execute", _printed(table, choose)))
    report = "\n".join(f"| {region} | {value:,} |" for region, value in table.items())
    messages.append(
        _said(
            "assistant",
            f"<Understand>\nAll {len(table)} regions are there, none is blank. {best} leads.\n</Understand>\n"
            f"<Answer>\n## {measure.title()} by region\n\n| region | {measure} |\n| --- | --- |\n{report}\n\n"
            f"**{best}** has the most {measure}, {table[best]:,}, {table[best] / sum(table.values()):.1%} of all.\n"
            "The figures are those of the table as it was read; nothing was left out.\n</Answer>",
        )
    )
    return {"id": f"run-{number}", "source": f"source-{number % 4}", "messages": messages}


def _said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content, "train": role == "assistant"}


def _question(number: int, measure: str, choose: random.Random) -> str:
    entry = {
        "name": f"{measure}.csv", "size": f"{choose.randrange(10, 900) / 10}KB",
        "rows": choose.randrange(100, 9_000), "source": "sales (postgresql)",
        "columns": {"id": "bigint", "region": "text", "day": "date", measure: "numeric(12,2)"},
    }  # fmt: skip
    asked = f"Which region has the most {measure} in week {number + 1}, and what is its share?"
    return f"# Instruction\n{asked}\n\n# Data\nFile 1:\n{json.dumps(entry, indent=4)}"


def _program(program: int, measure: str, choose: random.Random) -> str:
    rows = choose.randrange(5, 50)
    if program == 0:
        plan = f"I look at {measure}.csv first: its columns, its blanks, and {rows} rows of it."
        code = f"import pandas as pd\n\ntable = pd.read_csv('{measure}.csv')\nprint(table.dtypes)\nprint(table.head({rows}))\nprint(table.isna().sum())"
    else:
        plan = f"Now the sum of {measure} for each region, largest first, and shares to {program} places."
        code = f"total = table.groupby('region')['{measure}'].sum().sort_values(ascending=False)\nprint(total)\nprint((total / total.sum()).round({program}))"
    return f"<Analyze>\n{plan}\n</Analyze>\n<Code>\n```python\n{code}\n```\n</Code>"


def _printed(table: dict[str, int], choose: random.Random) -> str:
    lines = [f"{region:<10}{value:>12}  {choose.random():.6f}" for region, value in table.items()]
    return "\n".join(["region           sum     share", *lines, "dtype: float64", "Zürich ✓ 北京"])


def written(path: Path, conversations: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in conversations))
    return path


def texts(conversations: list[dict[str, Any]]) -> list[str]:
    return [message["content"] for each in conversations for message in each["messages"]]
