"""Patients of a group of clinics in PostgreSQL: their visits, and what was measured."""

import numpy as np
import pandas as pd

from training.evaluation.apart.expected import coefficient, count, leader, percent
from training.evaluation.dataset import DATABASE, Domain, Number, Question, Words

_PATIENTS, _VISITS, _MEASUREMENTS = 1_450, 9_400, 5_300
# share of the visits, and how many of them are missed
_CLINICS = {
    "Northgate": (0.21, 0.071),
    "Riverside": (0.18, 0.094),
    "Elm Street": (0.17, 0.058),
    "Harbour View": (0.16, 0.112),
    "Millfield": (0.15, 0.158),
    "St. Anne": (0.13, 0.083),
}
# share of the patients, and how often one comes, relative to the others
_REGIONS = {
    "Coast": (0.24, 0.95),
    "Lowlands": (0.22, 0.85),
    "Upper Valley": (0.12, 1.55),
    "Lakeside": (0.17, 1.1),
    "City": (0.25, 0.8),
}
_SMOKING = {"never": 0.52, "former": 0.25, "current": 0.23}
_YEARS = {2022: 0.3, 2023: 0.33, 2024: 0.37}
_SCHEMA = f"{DATABASE}:health"
_P, _V, _M = (f"{_SCHEMA}.{name}" for name in ("patients", "visits", "measurements"))


def domain() -> Domain:
    rng = np.random.default_rng(4202)
    patients = _patients(rng)
    visits = _visits(patients, rng)
    measurements = _measurements(patients, rng)
    tables = {"patients": patients, "visits": visits, "measurements": measurements}
    questions = (
        *_of_visits(visits),
        *_of_measurements(measurements),
        *_of_patients(patients, visits, measurements),
        _unanswerable(),
    )
    return Domain("health", {}, tables, questions)


def _patients(rng: np.random.Generator) -> pd.DataFrame:
    size = _PATIENTS
    registered = pd.Timestamp("2015-01-05") + pd.to_timedelta(rng.integers(0, 2_500, size), "D")
    table = pd.DataFrame(
        {
            "patient_id": np.arange(20_001, 20_001 + size),
            "birth_year": rng.integers(1934, 2006, size),
            "sex": rng.choice(["f", "m"], size, p=[0.53, 0.47]),
            "home_region": rng.choice(list(_REGIONS), size, p=[s for s, _ in _REGIONS.values()]),
            "smoking_status": rng.choice(list(_SMOKING), size, p=list(_SMOKING.values())),
            "registered_on": registered,
        }
    )
    unknown = rng.random(size) < 0.04
    table["smoking_status"] = table["smoking_status"].astype(object).mask(unknown, None)
    return table


def _visits(patients: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    often = patients["home_region"].map({name: rate for name, (_, rate) in _REGIONS.items()})
    often = often * rng.gamma(2.0, 0.5, len(patients))
    clinic = rng.choice(list(_CLINICS), _VISITS, p=[share for share, _ in _CLINICS.values()])
    missed = pd.Series(clinic).map({name: rate for name, (_, rate) in _CLINICS.items()})
    table = pd.DataFrame(
        {
            "patient_id": rng.choice(patients["patient_id"], _VISITS, p=often / often.sum()),
            "clinic": clinic,
            "visit_date": _days(rng),
            "visit_type": rng.choice(["check-up", "acute", "follow-up", "vaccination"], _VISITS),
            "no_show": rng.random(_VISITS) < missed,
        }
    )
    wait = np.clip(rng.gamma(2.2, 9.0, _VISITS), 1, 120).round()
    wait[rng.choice(_VISITS, 25, replace=False)] = rng.integers(240, 480, 25)
    table["wait_minutes"] = pd.Series(wait).mask(table["no_show"])
    table = table.sort_values("visit_date", kind="stable").reset_index(drop=True)
    table.insert(0, "visit_id", np.arange(1, _VISITS + 1))
    return table


def _days(rng: np.random.Generator) -> pd.DatetimeIndex:
    days = pd.date_range("2022-01-01", "2024-12-31", freq="D")
    days = days[days.dayofweek < 5]
    weights = days.year.map(_YEARS).to_numpy(dtype=float)
    return days[rng.choice(len(days), _VISITS, p=weights / weights.sum())]


def _measurements(patients: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    who = patients.sample(_MEASUREMENTS, replace=True, random_state=rng)
    size = _MEASUREMENTS
    bmi = np.clip(rng.normal(26.8, 4.4, size), 15.5, 48).round(1)
    smokes = who["smoking_status"].eq("current").to_numpy()
    systolic = 94 + 1.15 * bmi + 10.5 * smokes + rng.normal(0, 10, size)
    measured = pd.Timestamp("2022-01-03") + pd.to_timedelta(rng.integers(0, 1_090, size), "D")
    return pd.DataFrame(
        {
            "measurement_id": np.arange(1, size + 1),
            "patient_id": who["patient_id"].to_numpy(),
            "measured_on": measured,
            "systolic_mmhg": systolic.round().astype(int),
            "diastolic_mmhg": (0.55 * systolic + rng.normal(8, 6, size)).round().astype(int),
            "bmi": pd.Series(bmi).mask(rng.random(size) < 0.03),
            "glucose_mmol_l": pd.Series(np.clip(rng.gamma(30, 0.19, size), 3, 22).round(1)).mask(
                rng.random(size) < 0.087
            ),
        }
    )


def _of_visits(visits: pd.DataFrame) -> tuple[Question, ...]:
    missed = visits.groupby("clinic")["no_show"].mean()
    worst = leader(missed)
    years = visits["visit_date"].dt.year.value_counts()
    first_half = visits["visit_date"].between("2024-01-01", "2024-06-30")
    return (
        Question(
            "health-no-show",
            "At which clinic do people fail to show up most often, and what is its no-show rate?",
            (_V,),
            (Words((worst,)), percent(missed[worst])),
        ),
        Question(
            "health-growth",
            "How many percent more visits were booked in 2024 than in 2023?",
            (_V,),
            (percent(years[2024] / years[2023] - 1),),
        ),
        Question(
            "health-people",
            "How many different patients had at least one visit on the books between January and "
            "June 2024?",
            (_V,),
            (count(visits.loc[first_half, "patient_id"].nunique()),),
        ),
    )


def _of_measurements(measurements: pd.DataFrame) -> tuple[Question, ...]:
    missing = measurements["glucose_mmol_l"].isna()
    correlation = measurements["bmi"].corr(measurements["systolic_mmhg"])
    return (
        Question(
            "health-glucose",
            "how many measurements have no glucose value, and what percentage is that",
            (_M,),
            (count(int(missing.sum())), percent(float(missing.mean()))),
        ),
        Question(
            "health-bmi",
            "Is a higher BMI linked to a higher systolic blood pressure? "
            "What is the correlation coefficient?",
            (_M,),
            (coefficient(correlation),),
        ),
    )


def _of_patients(
    patients: pd.DataFrame, visits: pd.DataFrame, measurements: pd.DataFrame
) -> tuple[Question, ...]:
    known = measurements.merge(patients, on="patient_id", validate="many_to_one")
    pressure = known.groupby("smoking_status")["systolic_mmhg"].mean()
    came = visits.merge(patients, on="patient_id", validate="many_to_one")
    registered = patients["home_region"].value_counts()
    each = came["home_region"].value_counts() / registered
    most = leader(each)
    return (
        Question(
            "health-smoking",
            "Compare the average systolic blood pressure of current smokers with that of people "
            "who never smoked.",
            (_P, _M),
            (
                Number(float(pressure["current"]), relative=0.003),
                Number(float(pressure["never"]), relative=0.003),
            ),
        ),
        Question(
            "health-regions",
            "Which home region has the most visits per registered patient, and how many is that?",
            (_P, _V),
            (Words((most,)), Number(float(each[most]), absolute=0.05)),
        ),
    )


def _unanswerable() -> Question:
    return Question(
        "health-medication",
        "Which medication is prescribed most often to patients with high blood pressure?",
        (_P, _V, _M),
        (),
        refuses=True,
    )
