"""What a statement names is looked up in the catalog of its own server: what is harmless passes,
what may do more is refused with the name that leads there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from dev.postgres import Postgres
from services.pg_connector import guard
from services.pg_connector.errors import QueryNotReadOnly
from services.pg_connector.resolving import Resolver
from tests.pg_connector.bare import reading_at

SETUP = """
CREATE SEQUENCE s; CREATE TABLE t (id int, note text); CREATE SCHEMA far;
CREATE FUNCTION plain(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n + 1';
CREATE FUNCTION atomic(n int) RETURNS int IMMUTABLE BEGIN ATOMIC SELECT n + 1; END;
CREATE FUNCTION returned(n int) RETURNS int IMMUTABLE RETURN n + 1;
CREATE FUNCTION steps(n int) RETURNS int LANGUAGE plpgsql STABLE AS $$
DECLARE r record; total int := 0; BEGIN
  FOR r IN SELECT id FROM t LOOP total := total + plain(r.id); END LOOP;
  IF total > 3 THEN PERFORM count(*) FROM t; END IF; RETURN total; END $$;
CREATE FUNCTION unmarked(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1';
CREATE FUNCTION far.unmarked2(n int) RETURNS int LANGUAGE sql AS 'SELECT n + 1';
CREATE FUNCTION ends(pid int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT pg_terminate_backend(pid)';
CREATE FUNCTION ends_so(pid int) RETURNS bool STABLE RETURN pg_terminate_backend(pid);
CREATE FUNCTION ends_too(pid int) RETURNS bool LANGUAGE plpgsql STABLE AS
  $$ DECLARE x bool := pg_terminate_backend(pid); BEGIN RETURN x; END $$;
CREATE FUNCTION ends_by(pid int) RETURNS bool LANGUAGE sql STABLE AS 'SELECT ends(pid)';
CREATE FUNCTION ends_default(p int, x bool DEFAULT pg_cancel_backend(1)) RETURNS bool
  LANGUAGE sql STABLE AS 'SELECT x';
CREATE FUNCTION made(q text) RETURNS int LANGUAGE plpgsql STABLE AS
  $$ DECLARE x int; BEGIN EXECUTE q INTO x; RETURN x; END $$;
CREATE FUNCTION deletes() RETURNS int LANGUAGE plpgsql STABLE AS
  $$ BEGIN DELETE FROM t; RETURN 1; END $$;
CREATE FUNCTION definer() RETURNS int LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT 1';
CREATE FUNCTION elsewhere() RETURNS int LANGUAGE sql STABLE SET search_path = far
  AS 'SELECT unmarked2(1)';
CREATE FUNCTION over(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n';
CREATE FUNCTION over(a int, b int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT a';
CREATE FUNCTION far.lower(n int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT n';
CREATE AGGREGATE clean_sum(int) (sfunc = int4pl, stype = int);
CREATE AGGREGATE dirty_sum(int) (sfunc = over, stype = int);
CREATE OPERATOR ### (leftarg = int, rightarg = int, function = over);
CREATE OPERATOR #% (rightarg = int, function = plain);
CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE DOMAIN loud AS int CHECK (pg_cancel_backend(VALUE));
CREATE DOMAIN odd AS int CHECK (unmarked(VALUE) > 0);
CREATE TYPE loud_pair AS (a int, b loud);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE FUNCTION of_mood(m mood) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE CAST (mood AS int) WITH FUNCTION of_mood(mood);
CREATE TYPE tone AS ENUM ('high', 'low');
CREATE FUNCTION of_tone(m tone) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE CAST (tone AS int) WITH FUNCTION of_tone(tone) AS IMPLICIT;
CREATE FUNCTION high() RETURNS tone LANGUAGE sql IMMUTABLE AS $$ SELECT 'high'::tone $$;
CREATE FUNCTION equal(mood, int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN true; END';
CREATE OPERATOR = (leftarg = mood, rightarg = int, function = equal);
CREATE TABLE louds (loud loud); CREATE TABLE pairs (pair loud_pair);
CREATE FUNCTION compares(m mood) RETURNS bool LANGUAGE sql STABLE AS 'SELECT $1 = 1';
CREATE FUNCTION casts(m mood) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1::int';
CREATE FUNCTION takes(x odd) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION gives() RETURNS odd LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE TABLE tones (tone tone); CREATE TABLE moods (mood mood, small small);
CREATE VIEW clean AS SELECT plain(id) AS n, random() AS r FROM t;
CREATE VIEW dirty AS SELECT pg_try_advisory_lock(1);
CREATE VIEW dirtier AS SELECT * FROM dirty;
CREATE VIEW defined AS SELECT definer();
CREATE TABLE guarded (id int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (pg_cancel_backend(id));
"""

PASSES = [
    "SELECT plain(id), atomic(id), returned(id) FROM t",
    "SELECT steps(1), over(1), clean_sum(id) FROM t",
    "SELECT #% 2, 3 + plain(4)",
    "SELECT id::small, '5'::small FROM t",
    "SELECT * FROM clean",
    "SELECT mood, small FROM moods",
    "SELECT mood::text, 'good'::mood FROM moods",
    "SELECT lower(note) FROM t",
    "SELECT random(), clock_timestamp(), gen_random_uuid(), pg_sleep(0)",
    "SELECT pg_input_is_valid('7', 'small'), pg_input_is_valid('7', 'int')",
    "SELECT r.id, r.note FROM t r",
    "SELECT '[1,2]'::vector <-> '[1,3]'::vector",
    "SELECT nosuch(1)",
    "SELECT loud FROM louds",
    "SELECT CASE 1 WHEN 2 THEN 3 END, 1 IN (SELECT 2)",
    "SELECT * FROM t JOIN (SELECT 1 AS id) x USING (id)",
]

REFUSED = [
    ("SELECT 1,\n  unmarked(1)", "the function unmarked", "is volatile", 2),
    ("SELECT far.unmarked2(1)", "the function unmarked2", "is volatile", 1),
    ("SELECT x.unmarked FROM abs(1) x", "the attribute unmarked", "is volatile", 1),
    ("SELECT (1).unmarked", "the attribute unmarked", "is volatile", 1),
    ("SELECT ends(1)", "the function ends", "uses the function pg_terminate_backend", 1),
    ("SELECT ends_so(1)", "the function ends_so", "uses the function pg_terminate_backend", 1),
    ("SELECT ends_too(1)", "the function ends_too", "uses the function pg_terminate_backend", 1),
    ("SELECT ends_by(1)", "the function ends_by", "leads to public.ends, which uses", 1),
    ("SELECT ends_default(1)", "the function ends_default", "pg_cancel_backend", 1),
    ("SELECT made('SELECT 1')", "the function made", "EXECUTE", 1),
    ("SELECT deletes()", "the function deletes", "uses DELETE", 1),
    ("SELECT definer()", "the function definer", "SECURITY DEFINER", 1),
    ("SELECT elsewhere()", "the function elsewhere", "far.unmarked2, which is volatile", 1),
    ("SELECT over(1, 2)", "the function over", "is volatile", 1),
    ("SELECT dirty_sum(id) FROM t", "the function dirty_sum", "public.over, which is volatile", 1),
    ("SELECT 1 ### 2", "the operator ###", "public.over, which is volatile", 1),
    ("SELECT 1 OPERATOR(public.###) 2", "the operator ###", "is volatile", 1),
    ("SELECT 1 ### ANY (SELECT 2)", "the operator ###", "is volatile", 1),
    ("SELECT 1::loud", "the type loud", "uses the function pg_cancel_backend", 1),
    ("SELECT loud '1'", "the type loud", "pg_cancel_backend", 1),
    ("SELECT loud(1)", "the type loud", "pg_cancel_backend", 1),
    ("SELECT (1).loud", "the type loud", "pg_cancel_backend", 1),
    ("SELECT '{1}'::loud[]", "the type loud", "pg_cancel_backend", 1),
    ("SELECT '(1,2)'::loud_pair", "the type loud_pair", "pg_cancel_backend", 1),
    ("SELECT json_populate_record(null::loud_pair, '{}')", "the type loud_pair", "cancel", 1),
    ("SELECT * FROM json_to_record('{}') AS x(a loud)", "the type loud", "cancel", 1),
    ("SELECT * FROM json_table('[1]', '$[*]' COLUMNS (a loud PATH '$'))", "the type loud", "", 1),
    ("SELECT pg_input_is_valid('1', 'loud')", "the type loud", "pg_cancel_backend", 1),
    ("SELECT 1::odd", "the type odd", "public.unmarked, which is volatile", 1),
    ("SELECT 1 + tone FROM tones", "the relation tones", "public.of_tone, which is volatile", 1),
    ("SELECT mood::int FROM moods", "the type int4", "public.of_mood, which is volatile", 1),
    ("SELECT high() + 1", "the function high", "public.of_tone, which is volatile", 1),
    ("SELECT 'high'::tone + 1", "the type tone", "public.of_tone, which is volatile", 1),
    ("SELECT CASE 'good'::mood WHEN 1 THEN 2 END", "the operator =", "public.equal", 1),
    ("SELECT 'good'::mood IN (SELECT 1)", "the operator =", "public.equal", 1),
    ("SELECT * FROM moods m JOIN (VALUES (1)) v(mood) USING (mood)", "the operator =", "equal", 1),
    ("SELECT * FROM moods NATURAL JOIN (VALUES (1)) v(mood)", "the operator =", "equal", 1),
    ("SELECT 'good'::mood IS DISTINCT FROM 1", "the operator =", "public.equal", 1),
    ("SELECT compares(mood) FROM moods", "the function compares", "public.equal", 1),
    ("SELECT casts('good')", "the function casts", "is volatile", 1),
    ("SELECT takes(1)", "the function takes", "public.unmarked, which is volatile", 1),
    ("SELECT gives()", "the function gives", "public.unmarked, which is volatile", 1),
    ("SELECT jsonb_populate_record(x, '{}') FROM louds x", "the relation louds", "cancel", 1),
    ("SELECT jsonb_populate_record(pair, '{}') FROM pairs", "the relation pairs", "cancel", 1),
    ("SELECT * FROM dirty", "the relation dirty", "uses the function pg_try_advisory_lock", 1),
    ("SELECT *\nFROM dirtier", "the relation dirtier", "leads to public.dirty, which uses", 2),
    ("SELECT * FROM guarded", "the relation guarded", "pg_cancel_backend", 1),
    ("SELECT domain_in('1', 'loud'::regtype, -1)", "the function domain_in", "internal form", 1),
    ("SELECT record_in('(1)', 'loud_pair'::regtype, -1)", "the function record_in", "internal", 1),
]


@dataclass(frozen=True)
class Made:
    dsn: str

    async def judge(self, sql: str) -> None:
        async with reading_at(self.dsn) as work:
            await Resolver().require(work, guard.admit(sql), ())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def made(postgres: Postgres) -> AsyncIterator[Made]:
    async with postgres.database("catalog") as name:
        await postgres.execute(SETUP, database=name)
        await postgres.execute("CREATE EXTENSION vector", database=name)
        role = f"reads_{name}"
        await postgres.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA far TO {role};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
            database=name,
        )
        yield Made(postgres.dsn_of(name, user=role, password="p"))
        await postgres.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", database=name)


@pytest.mark.req("P8")
@pytest.mark.parametrize("sql", PASSES)
async def test_what_only_reads_passes(made: Made, sql: str) -> None:
    await made.judge(sql)


@pytest.mark.req("P8")
@pytest.mark.parametrize(("sql", "construct", "words", "line"), REFUSED)
async def test_what_may_do_more_is_refused(
    made: Made, sql: str, construct: str, words: str, line: int
) -> None:
    with pytest.raises(QueryNotReadOnly) as caught:
        await made.judge(sql)
    told = caught.value.metadata()
    assert (told["construct"], told["line"]) == (construct, str(line))
    assert words in caught.value.message and caught.value.remedy
