"""`%%sql source [variable]`: a program that is one statement of a source."""

from typing import TYPE_CHECKING, Any

from .sources import Sources

if TYPE_CHECKING:
    from .shell import Shell


def register(shell: "Shell", sources: Sources) -> None:
    def sql(line: str, cell: str) -> Any:
        """Shows the rows, or keeps them as a variable."""
        source, *names = line.split()[:3] or [""]
        if not source or len(names) > 1 or not all(name.isidentifier() for name in names):
            raise ValueError("write `%%sql source` or `%%sql source variable` above the statement")
        rows = sources[source].query(cell.strip().removesuffix(";"))
        if not names:
            return rows
        shell.user_ns[names[0]] = rows
        return None

    # traitlets' decorator hides the signature
    register: Any = shell.register_magic_function
    register(sql, "cell", "sql")
