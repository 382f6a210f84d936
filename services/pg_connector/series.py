"""generate_series with numbers that are written out: how many rows it makes.

In FROM the server keeps them all before it goes on, so that a slip of the pen fills its disk up to
`temp_file_limit`. Series of other arguments are for that bound and for the statement's timeout.
"""

from collections.abc import Iterator
from decimal import Decimal, DecimalException
from fractions import Fraction

from pglast import ast

from services.pg_connector.trees import walk

# Some minutes for the server, and more than anybody waits for.
MAX_ROWS = 1_000_000_000
# powers of ten: beyond them a fraction would take long to make
_SMALLEST, _LARGEST = -30, 30


def too_long(root: ast.Node) -> Iterator[tuple[ast.Node, int]]:
    """Each call that makes more than MAX_ROWS rows, and how many."""
    for node, _ in walk(root):
        if isinstance(node, ast.FuncCall) and (rows := _rows(node)) > MAX_ROWS:
            yield node, rows


def _rows(call: ast.FuncCall) -> int:
    """0 where it is not known."""
    if getattr((call.funcname or (None,))[-1], "sval", "") != "generate_series":
        return 0
    numbers = [_number(argument) for argument in call.args or ()]
    if None in numbers or len(numbers) not in (2, 3):
        return 0
    start, stop, step = (Fraction(number or 0) for number in (*numbers, Decimal(1))[:3])
    return int((stop - start) // step) + 1 if step else 0


def _number(node: object) -> Decimal | None:
    match node:
        case ast.TypeCast(arg=arg):
            return _number(arg)
        case ast.A_Const(val=ast.Integer(ival=value)):
            return Decimal(value or 0)
        case ast.A_Const(val=ast.Float(fval=value)):
            return _decimal(value)
        case ast.A_Expr(lexpr=None, rexpr=operand, name=(ast.String(sval="-"),)):
            number = _number(operand)
            return None if number is None else -number
    return None


def _decimal(text: str | None) -> Decimal | None:
    """None for what nobody counts by, and for what is written in other bases."""
    try:
        number = Decimal(text or "")
    except DecimalException:
        return None
    return number if _SMALLEST <= number.adjusted() <= _LARGEST else None
