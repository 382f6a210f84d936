"""What is not there: empty cells by column, and rows that stand twice."""

from dataclasses import dataclass, replace

from ..loading import load, variable
from ..prose import cell, number, percent, real, records, table
from ..schema import Schema
from .program import Analysis, Artifacts, Result, assemble, figure

_TABLES = 12


@dataclass(frozen=True)
class Missing:
    """Counts empty cells of every column of these tables."""

    schema: Schema
    tables: tuple[str, ...]
    careful: bool = False

    title = "missing values"

    def aim(self) -> str:
        return "Missing values by column, and repeated rows."

    def program(self) -> str:
        lines: list[str] = []
        names: list[str] = []
        for name in self.tables[:_TABLES]:
            one = self.schema.table(name)
            columns = [column.name for column in one.columns]
            lines += load(one, columns, self.schema, careful=True)
            names.append(f"{name!r}: {variable(one, self.schema)}")
        artifacts = Artifacts(self.title)
        body = [
            "",
            f"tables = {{{', '.join(names)}}}",
            "rows, summary = [], []",
            "for name, frame in tables.items():",
            "    empty = frame.isna().sum()",
            "    repeated = int(frame.astype(str).duplicated().sum())",
            "    whole = int(frame.notna().all(axis=1).sum())",
            '    summary.append({"table": name, "rows": len(frame), '
            '"repeated": repeated, "whole": whole})',
            '    rows += [{"table": name, "column": str(column), '
            '"missing": int(count), "rows": len(frame)}',
            "             for column, count in empty.items()]",
            'rows.sort(key=lambda row: -row["missing"] / max(row["rows"], 1))',
            "print(pd.DataFrame(rows).head(30).to_string())",
            f"pd.DataFrame(rows).to_csv({artifacts.table!r}, index=False)",
            "",
            'gaps = [row for row in rows if row["missing"]][:15][::-1]',
            "if gaps:",
            "    plt.figure(figsize=(8, 4.5))",
            "    plt.barh([f\"{row['table']}.{row['column']}\" for row in gaps],",
            '             [100 * row["missing"] / row["rows"] for row in gaps])',
            '    plt.xlabel("missing (%)")',
            *(f"    {line}" for line in figure("Missing values", artifacts) if line),
            'result = {"rows": rows[:40], "columns": len(rows), "tables": summary,',
            '          "missing": sum(row["missing"] for row in rows)}',
        ]
        return assemble(self.aim(), lines, body)

    def report(self, result: Result) -> str:
        rows = [row for row in records(result, "rows") if real(row.get("missing")) > 0]
        summary = records(result, "tables")
        cells = number(result.get("missing"))
        if rows:
            worst = rows[0]
            share = percent(real(worst.get("missing")) / real(worst.get("rows")))
            head = (
                f"**{cells} cells are missing, in {len(rows)} of "
                f"{number(result.get('columns'))} columns. "
                f"The worst is {cell(worst.get('table'))}.{cell(worst.get('column'))}: "
                f"{number(worst.get('missing'))} of {number(worst.get('rows'))} ({share}).**"
            )
        else:
            head = f"**No cell is missing in {number(result.get('columns'))} columns.**"
        parts = [head, self._columns(rows), self._tables(summary)]
        parts += [f"![Missing values]({Artifacts(self.title).figure})"] if rows else []
        parts.append(f"- The full list is in `{Artifacts(self.title).table}`.")
        return "\n\n".join(part for part in parts if part)

    def _columns(self, rows: list[dict[str, object]]) -> str:
        lines = [
            [cell(row.get("table")), cell(row.get("column")), number(row.get("missing")),
             percent(real(row.get("missing")) / real(row.get("rows")))]
            for row in rows[:20]
        ]  # fmt: skip
        return table(["table", "column", "missing", "share"], lines) if lines else ""

    def _tables(self, summary: list[dict[str, object]]) -> str:
        lines = [
            [cell(row.get("table")), *(number(row.get(k)) for k in ("rows", "whole", "repeated"))]
            for row in summary
        ]
        return table(["table", "rows", "rows without a gap", "repeated rows"], lines)

    def next(self, result: Result) -> Analysis | None:
        return None

    def simpler(self) -> Analysis | None:
        return replace(self, tables=self.tables[:1], careful=True) if not self.careful else None
