"""Words that columns, tables and questions use for the same things."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Dates: promised and done, begun and ended.
PROMISED = _words("promised expected due scheduled estimated planned eta deadline target")
DONE = _words("delivered actual arrived received completed finished done resolved paid returned")
STARTED = _words(
    "started start ordered opened created shipped begin placed login hire departure "
    "departed sent requested borrowed admission admitted checkin reported enrolled rented joined "
    "booked received"
)
ENDED = _words(
    "ended end delivered closed resolved completed finished finish logout arrival arrived "
    "left terminated returned discharge discharged checkout replied answered paid resolved"
)
LATE = _words("late delayed overdue punctual punctuality lateness")
# What is better when there is more of it, and when there is less.
GOOD = _words(
    "rating score satisfaction grade mark profit margin revenue sales conversion pass yield"
)
BAD = _words(
    "late return refund churn complaint defect error cost expense absence wait delay attrition"
)
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
# Words that say nothing of the data: articles, auxiliaries, requests, and verbs for any doing.
SMALL = frozenset(
    _words(
        """
        a about above actually after all also altogether am an and any anyone anything
        are as ask asked at average away back be because been before being below best
        better both bring bringing brings brought but by calculate came can case cases
        chart check come comes coming compute could count d data dataset day days did
        display do does doing done draw during each either else entries entry ever every
        everyone everything exactly far few fewer figure figures file files find for
        found from further get gets getting give given go goes going got graph had
        handle handled handles happen happened happening happens has have having he
        hello help her here hey hi highest him his how however i i'd i'm identify if in
        information into is isn it item items its itself just keep kept kindly know last
        least less let let's like likely list ll look looking lot lowest m made make
        makes making many may maybe me mean might more most much must my need needed
        next no nobody none nor not now number numbers of off often ok okay on once one
        ones only onto or other others our ours out over overall own people per place
        placed please plot possible present provide question quickly quite rather re
        really record recorded records regarding respectively result results row rows s
        said same say see seem seen set several shall she should show shown shows simply
        since so some somebody someone something still such sum t table take taken takes
        tell than thank part participate participated thanks took that the their them
        then there there's these they thing things think this those through till time
        times to together too toward tried try two under until up upon us use used using
        value values ve very via vs want was way we went were what what's whatever when
        where whether which while who whole whom whose why will with within without
        would yes yet you your
        """
    )
)
