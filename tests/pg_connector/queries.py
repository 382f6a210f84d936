"""Queries as analysts write them, all of which must pass and run.

What people complain of in guards that are too strict is among them: ordered-set aggregates, window
functions, EXPLAIN ANALYZE, comments, names that look like statements.
"""

SETUP = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE sales (
    id bigint PRIMARY KEY, region text, amount numeric(12, 2), sold_at timestamptz, tags text[],
    details jsonb, mood mood, "update" text, "Order" int, lo_orderdate date, schedule text
);
INSERT INTO sales
SELECT n, 'region ' || n % 5, n * 1.25, '2026-01-01'::timestamptz + n * interval '1 hour',
    ARRAY['a', 'b' || n], jsonb_build_object('k', n, 'list', jsonb_build_array(1, 2)), 'good', 'u',
    n, '2026-01-01'::date + n, 's'
FROM generate_series(1, 500) n;
CREATE TABLE regions (name text PRIMARY KEY, parent text, manager text);
INSERT INTO regions SELECT 'region ' || n, 'region ' || n - 1, 'm' FROM generate_series(0, 5) n;
CREATE FUNCTION doubled(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE TYPE pair AS (lo_date date, schedule text);
"""

STATEMENTS = [
    "SELECT * FROM sales",
    "select count(*) from public.sales;",
    "SELECT region, sum(amount) AS total FROM sales GROUP BY region ORDER BY total DESC LIMIT 3",
    "TABLE sales",
    "VALUES (1, 'a'), (2, 'b')",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM sales",
    "SELECT mode() WITHIN GROUP (ORDER BY region) FROM sales",
    "SELECT region, amount, rank() OVER (PARTITION BY region ORDER BY amount DESC) FROM sales",
    "SELECT sum(amount) OVER w, avg(amount) OVER w FROM sales "
    "WINDOW w AS (ORDER BY sold_at ROWS BETWEEN 6 PRECEDING AND CURRENT ROW)",
    "SELECT id, lag(amount) OVER (ORDER BY id), first_value(id) OVER (ORDER BY id) FROM sales",
    "WITH t AS (SELECT region, amount FROM sales) SELECT region, max(amount) FROM t GROUP BY 1",
    "WITH a AS MATERIALIZED (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT * FROM a, b",
    "WITH RECURSIVE tree AS (SELECT name, 0 AS depth FROM regions WHERE parent = 'region -1' "
    "UNION ALL SELECT r.name, depth + 1 FROM regions r JOIN tree t ON r.parent = t.name) "
    "SELECT * FROM tree",
    "WITH sales AS (SELECT * FROM sales WHERE amount > 10) SELECT count(*) FROM sales",
    "SELECT date_trunc('month', sold_at) AS month, count(*) FROM sales GROUP BY month ORDER BY 1",
    "SELECT extract(dow FROM sold_at), avg(amount) FROM sales GROUP BY 1",
    "SELECT sold_at AT TIME ZONE 'Europe/Oslo' FROM sales",
    "SELECT region, count(*) FILTER (WHERE amount > 100) FROM sales GROUP BY region",
    "SELECT region, mood, sum(amount) FROM sales GROUP BY GROUPING SETS ((region), (mood), ())",
    "SELECT region, sum(amount) FROM sales GROUP BY ROLLUP (region) HAVING sum(amount) > 0",
    "SELECT DISTINCT ON (region) * FROM sales ORDER BY region, amount DESC",
    "SELECT * FROM sales s JOIN regions r ON r.name = s.region LEFT JOIN LATERAL "
    "(SELECT max(amount) AS top FROM sales x WHERE x.region = r.name) m ON true",
    "SELECT region FROM sales UNION SELECT name FROM regions EXCEPT SELECT 'region 0'",
    "SELECT details ->> 'k', details -> 'list' -> 0, details @> '{\"k\": 1}' FROM sales",
    "SELECT jsonb_path_query(details, '$.list[*]') FROM sales",
    "SELECT key, count(*) FROM sales, jsonb_each(details) GROUP BY key",
    "SELECT unnest(tags), array_length(tags, 1), 'a' = ANY(tags) FROM sales",
    "SELECT string_agg(region, ', ' ORDER BY region), array_agg(DISTINCT mood) FROM sales",
    "SELECT regexp_replace(region, '\\d', 'x'), region ILIKE '%REGION%' FROM sales",
    "SELECT corr(amount, id), regr_slope(amount, id), stddev(amount) FROM sales",
    "SELECT width_bucket(amount, 0, 1000, 10), count(*) FROM sales GROUP BY 1 ORDER BY 1",
    "SELECT ntile(4) OVER (ORDER BY amount), amount FROM sales",
    "SELECT * FROM sales TABLESAMPLE SYSTEM (50)",
    "SELECT * FROM sales TABLESAMPLE BERNOULLI (50) REPEATABLE (1)",
    "SELECT generate_series('2026-01-01'::date, '2026-02-01', '1 day')",
    "SELECT CASE WHEN amount > 100 THEN 'large' ELSE 'small' END, COALESCE(region, '?') FROM sales",
    "SELECT * FROM sales WHERE sold_at BETWEEN '2026-01-02' AND now() AND region IN ('region 1')",
    "SELECT * FROM sales WHERE id = (SELECT max(id) FROM sales) OR EXISTS (SELECT FROM regions)",
    "SELECT * FROM sales OFFSET 10 FETCH FIRST 5 ROWS WITH TIES".replace(
        "OFFSET", "ORDER BY id OFFSET"
    ),
    "EXPLAIN SELECT * FROM sales",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT region, count(*) FROM sales GROUP BY 1",
    "EXPLAIN (FORMAT JSON) SELECT 1",
    "SHOW server_version",
    "SHOW ALL",
    "SELECT version(), current_user, current_database(), now(), current_setting('TimeZone')",
    "SELECT gen_random_uuid(), random(), clock_timestamp()",
    "SELECT doubled(amount) FROM sales",
    'SELECT "update", "Order" FROM sales',
    "SELECT 'DELETE FROM sales; DROP TABLE sales' AS text",
    "-- what was sold\nSELECT /* all; of it */ count(*) FROM sales -- the end",
    "SELECT 1 AS delete, 2 AS insert, 3 AS set_config, 4 AS nextval",
    "SELECT s.lo_orderdate, s.schedule FROM sales s",
    "SELECT (row('2026-01-01', 'x')::pair).lo_date, (row(null, 'x')::pair).schedule",
    "SELECT (SELECT s FROM sales s LIMIT 1)",
    "SELECT * FROM information_schema.columns WHERE table_name = 'sales'",
    "SELECT relname, pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class LIMIT 5",
    "SELECT * FROM pg_stats WHERE tablename = 'sales'",
    "SELECT * FROM json_to_recordset('[{\"a\": 1}]') AS x(a int)",
    "SELECT * FROM json_table('[{\"a\": 1}]', '$[*]' COLUMNS (a int PATH '$.a')) j",
    "SELECT to_tsvector('english', region) @@ to_tsquery('region') FROM sales",
    "SELECT amount::float8 / NULLIF(id, 0), amount::text, id::int FROM sales",
    "SELECT overlay('abc' PLACING 'x' FROM 2), position('b' IN 'abc'), trim(BOTH FROM ' a ')",
    "(SELECT 1) UNION ALL (SELECT 2 LIMIT 1) ORDER BY 1",
    "SELECT $$it's ; fine$$, E'\\n', U&'\\0061', B'101', X'ff', 1e3, 0x1F",
    'SELECT * FROM sales WHERE region COLLATE "C" > \'a\' ORDER BY region COLLATE "C" NULLS LAST',
    "SELECT grouping(region), region, count(*) FROM sales GROUP BY CUBE (region, mood)",
    "SELECT pg_sleep(0)",
]
