"""A college: a register of students and courses as an Excel workbook, and its grades as CSV."""

import numpy as np
import pandas as pd

from training.evaluation.apart import formats
from training.evaluation.apart.expected import coefficient, count, leader, percent
from training.evaluation.dataset import LAKE, Domain, Number, Question, Words

_STUDENTS, _EACH = 660, 12
_PASS = 50
# code, title, department, credits, the course's own effect on a score
_COURSES = (
    ("MAT101", "Calculus", "Mathematics", 10, -7.0),
    ("MAT115", "Linear Algebra", "Mathematics", 10, -4.5),
    ("MAT230", "Probability", "Mathematics", 5, -3.5),
    ("CSC100", "Programming", "Computing", 10, 2.0),
    ("CSC210", "Databases", "Computing", 5, 4.0),
    ("CSC240", "Operating Systems", "Computing", 10, -1.5),
    ("BIO110", "Cell Biology", "Life Sciences", 10, 0.5),
    ("BIO205", "Genetics", "Life Sciences", 5, -2.0),
    ("CHE101", "Organic Chemistry", "Life Sciences", 10, -12.0),
    ("ECO101", "Microeconomics", "Economics", 5, 1.0),
    ("ECO120", "Macroeconomics", "Economics", 5, 0.0),
    ("ECO260", "Econometrics", "Economics", 10, -5.0),
    ("HIS105", "European History", "Humanities", 5, 8.0),
    ("PHI101", "Logic and Ethics", "Humanities", 5, 6.0),
    ("LIT130", "World Literature", "Humanities", 5, 9.5),
)
_PROGRAMMES = {
    "BSc Computing": 0.27,
    "BSc Biology": 0.21,
    "BA Economics": 0.2,
    "BA History": 0.17,
    "BSc Mathematics": 0.15,
}
# share of the students, and what it adds to a score
_FUNDING = {"Scholarship": (0.22, 5.5), "Loan": (0.45, -0.5), "Self": (0.33, 0.5)}
_CITIES = (
    "Aarhus Bergen Bilbao Bologna Bremen Brno Cork Dresden Dublin Essen Gdansk Ghent "
    "Girona Graz Halle Jena Kassel Kiel Leeds Leiden Lille Linz Lublin Lyon Malmo Murcia "
    "Nantes Nice Oulu Padua Pilsen Porto Poznan Riga Rostock Split Tartu Turku Utrecht "
    "Varna Verona Vigo York"
)
_REGISTER = f"{LAKE}:education/register.xlsx"
_GRADES = f"{LAKE}:education/grades.csv"


def domain() -> Domain:
    rng = np.random.default_rng(4303)
    students = _students(rng)
    courses = _courses()
    grades = _grades(students, rng)
    files = {
        "education/register.xlsx": formats.workbook({"Students": students, "Courses": courses}),
        "education/grades.csv": formats.csv(grades),
    }
    questions = (
        *_of_students(students),
        *_of_grades(grades),
        *_of_both(students, courses, grades),
        _unanswerable(),
    )
    return Domain("education", files, {}, questions)


def _students(rng: np.random.Generator) -> pd.DataFrame:
    size = _STUDENTS
    city = pd.Series(rng.choice(_CITIES.split(), size)).astype(object)
    shares = [share for share, _ in _FUNDING.values()]
    return pd.DataFrame(
        {
            "StudentId": [f"S{number}" for number in range(51_001, 51_001 + size)],
            "Programme": rng.choice(list(_PROGRAMMES), size, p=list(_PROGRAMMES.values())),
            "IntakeYear": rng.choice([2022, 2023, 2024], size),
            "HomeCity": city.mask(rng.random(size) < 0.02, None),
            "FundingType": rng.choice(list(_FUNDING), size, p=shares),
            "EntryScore": np.clip(rng.gamma(20, 8, size) + 220, 250, 600).round().astype(int),
        }
    )


def _courses() -> pd.DataFrame:
    names = ["CourseCode", "CourseTitle", "Department", "Credits"]
    return pd.DataFrame([each[:4] for each in _COURSES], columns=names)


def _grades(students: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Each student takes as many courses. A few scores and attendances were never entered."""
    taken = [rng.choice(len(_COURSES), _EACH, replace=False) for _ in range(_STUDENTS)]
    course, size = np.concatenate(taken), _STUDENTS * _EACH
    funding = students["FundingType"].map({name: add for name, (_, add) in _FUNDING.items()})
    able = funding.to_numpy() + rng.normal(0, 5, _STUDENTS)
    attendance = np.clip(rng.normal(78, 11, size), 15, 100).round(1)
    own = np.array([each[4] for each in _COURSES])[course]
    score = 63 + own + np.repeat(able, _EACH) + 0.55 * (attendance - 78) + rng.normal(0, 9, size)
    terms = ["2023-Autumn", "2024-Spring", "2024-Autumn", "2025-Spring"]
    table = pd.DataFrame(
        {
            "StudentId": students["StudentId"].to_numpy().repeat(_EACH),
            "CourseCode": np.array([each[0] for each in _COURSES])[course],
            "Term": rng.choice(terms, size),
            "AttendancePct": pd.Series(attendance).mask(rng.random(size) < 0.01),
            "FinalScore": pd.Series(np.clip(score, 0, 100).round(1)).mask(rng.random(size) < 0.03),
        }
    )
    doubled = table.sample(5, random_state=rng)
    return pd.concat([table, doubled]).sort_values("StudentId", kind="stable", ignore_index=True)


def _of_students(students: pd.DataFrame) -> tuple[Question, ...]:
    low, high = (float(students["EntryScore"].quantile(part)) for part in (0.25, 0.75))
    return (
        Question(
            "education-cities",
            "From how many different home cities do our students come?",
            (_REGISTER,),
            (count(students["HomeCity"].nunique()),),
        ),
        Question(
            "education-entry",
            "how are the entry scores spread? i'd like the lower and the upper quartile",
            (_REGISTER,),
            (Number(low), Number(high)),
        ),
    )


def _of_grades(grades: pd.DataFrame) -> tuple[Question, ...]:
    scores = grades["FinalScore"].dropna()
    by_course = grades.groupby("CourseCode")["FinalScore"].mean()
    hardest = leader(-by_course)
    return (
        Question(
            "education-pass",
            "What is our pass rate, if you need a final score of at least 50 to pass? "
            "Leave out entries without a score.",
            (_GRADES,),
            (percent(float((scores >= _PASS).mean())),),
        ),
        Question(
            "education-attendance",
            "Do students who attend more get better final scores? How strong is the correlation?",
            (_GRADES,),
            (coefficient(grades["AttendancePct"].corr(grades["FinalScore"])),),
        ),
        Question(
            "education-hardest",
            "Which course code has the lowest average final score, and what is that average?",
            (_GRADES,),
            (Words((hardest,)), Number(float(by_course[hardest]))),
        ),
    )


def _of_both(
    students: pd.DataFrame, courses: pd.DataFrame, grades: pd.DataFrame
) -> tuple[Question, ...]:
    known = grades.merge(students, on="StudentId", validate="many_to_one")
    funded = known.groupby("FundingType")["FinalScore"].mean()
    taught = grades.merge(courses, on="CourseCode", validate="many_to_one")
    departments = taught.groupby("Department")["FinalScore"].mean()
    best = leader(departments)
    return (
        Question(
            "education-funding",
            "Do students on a scholarship score better than students with a loan? "
            "Give me both average final scores.",
            (_REGISTER, _GRADES),
            (Number(float(funded["Scholarship"])), Number(float(funded["Loan"]))),
        ),
        Question(
            "education-departments",
            "Which department has the best average final score? The sheet Courses of the register "
            "tells which department a course belongs to.",
            (_REGISTER, _GRADES),
            (Words((best,)), Number(float(departments[best]))),
        ),
    )


def _unanswerable() -> Question:
    return Question(
        "education-pay",
        "What do our lecturers earn on average?",
        (_REGISTER, _GRADES),
        (),
        refuses=True,
    )
