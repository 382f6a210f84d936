"""Words that columns, tables and questions use for the same things."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Dates: promised and done, begun and ended.
PROMISED = _words("promised expected due scheduled estimated planned eta deadline target")
DONE = _words("delivered actual arrived received completed finished done resolved paid returned")
STARTED = _words(
    "started start ordered opened created shipped begin placed login hire departure "
    "departed sent requested borrowed admission checkin reported enrolled rented"
)
ENDED = _words(
    "ended end delivered closed resolved completed finished finish logout arrival arrived "
    "left terminated returned discharge checkout"
)
LATE = _words("late delayed overdue punctual punctuality lateness")
# Things that happen to a few rows of a parent, and that one asks the rate of.
EVENTS = _words(
    "refund return complaint cancel claim defect fault incident chargeback dispute churn "
    "accident failure error absence attrition"
)
# Money that comes in, and words that tell that an amount is another one.
MONEY = _words("revenue sales turnover amount total price value gmv")
OUTGOING = _words("refund return discount cost expense tax fee payment budget shipping")
# Names that say nothing without their table's.
VAGUE = _words("total amount value count price quantity number sum cost")
# Dates that a table is seldom split by, and those that it mostly is.
AFTERTHOUGHT = _words("birth updated modified end due promised expiry deleted left")
FIRST_DATES = _words("ordered date created placed time timestamp started sold")
