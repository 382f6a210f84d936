"""What programs find at hand beside Python, and letters for their figures."""

import importlib.util

import pytest
from matplotlib import font_manager

from services.sandbox.kernel.libraries import _CJK
from tests.sandbox.boxes import TIERS, Box, place

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCIENCE = {
    "polars": "import polars as pl\nprint(pl.DataFrame({'a': [1, 2]}).select(pl.col('a').sum()).item())",
    "scipy": "from scipy import stats\nprint(round(stats.linregress([1, 2, 3], [4, 7, 10]).slope))",
    "sklearn": (
        "from sklearn.linear_model import LinearRegression\n"
        "print(round(LinearRegression().fit([[1], [2], [3]], [4, 7, 10]).coef_[0]))"
    ),
    "statsmodels": (
        "import statsmodels.api as sm\n"
        "print(round(sm.OLS([4, 7, 10], sm.add_constant([1, 2, 3])).fit().params[1]))"
    ),
    "seaborn": "import seaborn as sns\nprint(3 if sns.histplot([1, 2, 2]).patches else 0)",
}


@pytest.mark.req("X1")
@pytest.mark.parametrize("tier", TIERS)
async def test_libraries_of_the_image_work_within(tier: str) -> None:
    """A laptop may do without; there they are skipped, one by one."""
    there = {name: code for name, code in SCIENCE.items() if importlib.util.find_spec(name)}
    if not there:
        pytest.skip("the extra `science` is not in this environment")
    async with place(tier, warm=0) as sandbox, sandbox.box() as box:
        for name, code in there.items():
            ran = await box.run(code, timeout_s=120)
            assert (ran.traceback, ran.out.strip()) == ("", "3"), name


@pytest.mark.req("C7")
@pytest.mark.skipif(
    not {*_CJK} & {*font_manager.get_font_names()}, reason="this machine has no font for Chinese"
)
@pytest.mark.parametrize("tier", TIERS)
async def test_labels_in_chinese_have_letters(tier: str) -> None:
    async with place(tier, warm=0) as sandbox, sandbox.box() as box:
        ran = await _figure(box, "华北退货率")
        assert ran == "", ran
        # what no font has is told by matplotlib
        assert "missing from font" in await _figure(box, "\U0010fffd")


async def _figure(box: Box, label: str) -> str:
    code = f"import matplotlib.pyplot as plt\nplt.bar([1], [2])\nplt.title({label!r})\nplt.show()"
    ran = await box.run(code)
    assert ran.displays[0]["image/png"].startswith(b"\x89PNG")
    return ran.err + ran.traceback
