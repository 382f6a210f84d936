"""What stands first, where nothing comes near it."""

from typing import Any

import pandas as pd

# between the first and the second, so that no rounding and no odd row turns them round
_MARGIN = 0.03


def first(values: "pd.Series[Any]") -> tuple[str, float]:
    """The name and the value of the largest; AssertionError where another is as large."""
    ranked = values.sort_values(ascending=False)
    assert ranked.iloc[0] - ranked.iloc[1] >= _MARGIN * abs(ranked.iloc[0])
    return str(ranked.index[0]), float(ranked.iloc[0])
