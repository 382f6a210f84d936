"""Where in a query something is, for people. Positions count characters from 1."""

# A longer line is shown in part, so that the mark stands near the middle.
_WIDTH = 100


def line_of(sql: str, position: int) -> int:
    return sql.count("\n", 0, max(0, position - 1)) + 1


def column_of(sql: str, position: int) -> int:
    return position - (sql.rfind("\n", 0, max(0, position - 1)) + 1)


def marked(sql: str, position: int) -> str:
    """The line with a caret under the place, as psql shows it."""
    number, column = line_of(sql, position), column_of(sql, position)
    lines = sql.split("\n")
    line = lines[number - 1].replace("\t", " ") if number <= len(lines) else ""
    start = max(0, column - 1 - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = line[start : start + _WIDTH].rstrip()
    head = f"LINE {number}: " + ("…" if start else "")
    tail = "…" if start + _WIDTH < len(line) else ""
    return f"{head}{shown}{tail}\n{' ' * (len(head) + column - 1 - start)}^"
