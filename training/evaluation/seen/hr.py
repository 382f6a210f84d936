"""An employer: the staff as a workbook of two sheets, and absences as a file of their own."""

import io
import re
import zipfile

import numpy as np
import pandas as pd

from training.evaluation.dataset import LAKE, Domain, Number, Question, Words
from training.evaluation.seen.ranking import first

_EMPLOYEES, _ABSENCES, _TWICE = 860, 3200, 9
_STAFF_FILE = "hr/staff_2023.xlsx"
_ABSENCES_FILE = "hr/absences.csv"
_STAFF = (f"{LAKE}:{_STAFF_FILE}",)
_BOTH = (*_STAFF, f"{LAKE}:{_ABSENCES_FILE}")

# typical yearly salaries, and how many of the staff
_DEPARTMENTS = {
    "Engineering": (71_000, 0.28),
    "Sales": (52_000, 0.22),
    "Warehouse": (36_000, 0.24),
    "Finance": (61_000, 0.10),
    "Support": (41_000, 0.16),
}
_OFFICES = {"Lisbon": "Portugal", "Porto": "Portugal", "Lyon": "France", "Gdansk": "Poland"}
_HIRED = {2018: 90, 2019: 110, 2020: 100, 2021: 150, 2022: 220, 2023: 190}
# how many days an absence of each kind lasts
_KINDS = {"sick": 3.2, "Sick leave": 3.2, "vacation": 6.5, "training": 2.0, "parental": 34.0}


def domain() -> Domain:
    rng = np.random.default_rng(1_066)
    staff = _staff(rng)
    absences = _absences(rng, staff)
    return Domain(
        name="hr",
        files={
            _STAFF_FILE: _workbook({"Staff": staff, "Offices": _offices()}),
            _ABSENCES_FILE: absences.to_csv(sep=";", index=False, lineterminator="\n").encode(),
        },
        tables={},
        questions=(
            _engineers(staff),
            _best_paid(staff),
            _men_and_women(staff),
            _early_leavers(staff),
            _hires(staff),
            _no_salary(staff),
            _sick_days(staff, absences),
            Question(
                id="hr-commute",
                text="How far do our employees commute on average?",
                data=_BOTH,
                expects=(),
                refuses=True,
            ),
        ),
    )


# The data


def _staff(rng: np.random.Generator) -> pd.DataFrame:
    departments = list(_DEPARTMENTS)
    department = rng.choice(departments, _EMPLOYEES, p=[each[1] for each in _DEPARTMENTS.values()])
    gender = rng.choice(["F", "M"], _EMPLOYEES, p=[0.46, 0.54])
    typical = np.array([_DEPARTMENTS[each][0] for each in department])
    less = np.where(gender == "F", 0.93, 1.0)
    hired = _hired(rng)
    frame = pd.DataFrame(
        {
            "Employee No": np.arange(1001, 1001 + _EMPLOYEES),
            "Full Name": [f"Employee {at}" for at in range(_EMPLOYEES)],
            "Department": department,
            "Office": rng.choice(list(_OFFICES), _EMPLOYEES, p=[0.4, 0.25, 0.2, 0.15]),
            "Gender": gender,
            "Hire Date": hired,
            "Leave Date": _left(rng, hired),
            "Annual Salary": np.round(typical * less * rng.lognormal(0, 0.16, _EMPLOYEES), -2),
        }
    )
    # typed by hand
    careless = (frame["Department"] == "Engineering") & (rng.random(_EMPLOYEES) < 0.05)
    frame.loc[careless, "Department"] = "engineering"
    frame.loc[rng.random(_EMPLOYEES) < 0.035, "Annual Salary"] = np.nan
    return frame


def _hired(rng: np.random.Generator) -> pd.DatetimeIndex:
    years = np.repeat(list(_HIRED), list(_HIRED.values()))
    first_days = pd.to_datetime(pd.Series(years).astype(str) + "-01-01")
    days = pd.to_timedelta(rng.integers(0, 365, len(years)), unit="D")
    return pd.DatetimeIndex(first_days + days)


def _left(rng: np.random.Generator, hired: pd.DatetimeIndex) -> "pd.Series[pd.Timestamp]":
    left = pd.Series(hired + pd.to_timedelta(rng.integers(60, 1500, len(hired)), unit="D"))
    leaves = (rng.random(len(hired)) < 0.4) & (left <= pd.Timestamp("2023-12-31"))
    return left.where(leaves)


def _absences(rng: np.random.Generator, staff: pd.DataFrame) -> pd.DataFrame:
    # those in the warehouse are ill more often
    often = np.where(staff["Department"] == "Warehouse", 2.2, 1.0)
    who = rng.choice(staff["Employee No"], _ABSENCES, p=often / often.sum())
    kind = rng.choice(list(_KINDS), _ABSENCES, p=[0.38, 0.06, 0.4, 0.11, 0.05])
    typical = pd.Series(kind).map(_KINDS).to_numpy()
    start = pd.Timestamp("2022-01-01") + pd.to_timedelta(rng.integers(0, 730, _ABSENCES), unit="D")
    frame = pd.DataFrame(
        {
            "employee_no": who,
            "start_date": pd.DatetimeIndex(start).strftime("%d.%m.%Y"),
            "type": kind,
            "days": np.ceil(typical * rng.lognormal(-0.1, 0.5, _ABSENCES)).astype(int),
        }
    )
    # twice: where no answer depends on it
    twice = frame[frame["type"] == "training"].head(_TWICE)
    return pd.concat([frame, twice], ignore_index=True)


def _offices() -> pd.DataFrame:
    return pd.DataFrame({"Office": list(_OFFICES), "Country": list(_OFFICES.values())})


def _workbook(sheets: dict[str, pd.DataFrame]) -> bytes:
    """The same bytes whenever it is written."""
    content = io.BytesIO()
    with pd.ExcelWriter(content, engine="openpyxl") as writer:
        for name, sheet in sheets.items():
            sheet.to_excel(writer, sheet_name=name, index=False)
    timeless = io.BytesIO()
    with zipfile.ZipFile(content) as book, zipfile.ZipFile(timeless, "w") as copy:
        for part in book.namelist():
            text = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", b"2024-01-01T00:00:00Z", book.read(part))
            copy.writestr(zipfile.ZipInfo(part), text, zipfile.ZIP_DEFLATED)
    return timeless.getvalue()


# The questions


def _engineers(staff: pd.DataFrame) -> Question:
    here = staff[staff["Leave Date"].isna()]
    return Question(
        id="hr-engineers",
        text="How many people still work in engineering, i.e. have no leave date?",
        data=_STAFF,
        expects=(
            Number(int((here["Department"].str.lower() == "engineering").sum()), relative=0.0),
        ),
    )


def _best_paid(staff: pd.DataFrame) -> Question:
    porto = staff[staff["Office"] == "Porto"]
    by_department = porto["Department"].str.capitalize()
    department, salary = first(porto.groupby(by_department)["Annual Salary"].median())
    return Question(
        id="hr-best-paid",
        text="In our Porto office, which department has the highest median salary and what is it? "
        "Include people who have left.",
        data=_STAFF,
        expects=(Words((department,)), Number(salary, relative=0.0, absolute=1.0)),
    )


def _men_and_women(staff: pd.DataFrame) -> Question:
    means = staff.groupby("Gender")["Annual Salary"].mean()
    return Question(
        id="hr-men-and-women",
        text="Compare the average salary of men and women across everybody on the list, leavers "
        "included. What are the two figures?",
        data=_STAFF,
        expects=(Number(float(means["F"])), Number(float(means["M"]))),
    )


def _early_leavers(staff: pd.DataFrame) -> Question:
    hired = staff[staff["Hire Date"].dt.year == 2021]
    share = float(hired["Leave Date"].notna().mean() * 100)
    return Question(
        id="hr-early-leavers",
        text="What percentage of the people we hired in 2021 have left since?",
        data=_STAFF,
        expects=(Number(share, percent=True, absolute=0.1, relative=0.0),),
    )


def _hires(staff: pd.DataFrame) -> Question:
    by_year = staff["Hire Date"].dt.year.value_counts()
    change = float(by_year[2022] / by_year[2021] - 1) * 100
    return Question(
        id="hr-hires",
        text="By how many percent did the number of new hires go up from 2021 to 2022?",
        data=_STAFF,
        expects=(Number(change, percent=True, absolute=0.1, relative=0.0),),
    )


def _no_salary(staff: pd.DataFrame) -> Question:
    return Question(
        id="hr-no-salary",
        text="For how many people on the staff list is the salary missing?",
        data=_STAFF,
        expects=(Number(int(staff["Annual Salary"].isna().sum()), relative=0.0),),
    )


def _sick_days(staff: pd.DataFrame, absences: pd.DataFrame) -> Question:
    starts = pd.to_datetime(absences["start_date"], format="%d.%m.%Y")
    sick = absences[absences["type"].isin(["sick", "Sick leave"]) & (starts.dt.year == 2023)]
    merged = sick.merge(staff, left_on="employee_no", right_on="Employee No")
    department, days = first(merged.groupby(merged["Department"].str.capitalize())["days"].sum())
    return Question(
        id="hr-sick-days",
        text="Which department lost the most days to sickness in 2023 (going by the start date), "
        "and how many?",
        data=_BOTH,
        expects=(Words((department,)), Number(days, relative=0.0)),
    )
