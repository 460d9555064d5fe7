# SPDX-License-Identifier: Apache-2.0
# Statements for the fingerprint. A group is what must have one fingerprint; different groups must have
# different ones. A line that begins with a tab goes on with the statement of the line before.

# group select-by-id
SELECT * FROM users WHERE id = 1
SELECT * FROM users WHERE id = 4711
SELECT * FROM users WHERE id=4711
select * from users where id = $1
SELECT * FROM users WHERE id = -5
SELECT * FROM users WHERE id = '7'
SELECT  *  FROM users
	WHERE id = 1 -- the one
/* app:web */ SELECT * FROM users /* nested /* comment */ here */ WHERE id = 1
SELECT * FROM users WHERE id = 1;
SELECT * FROM "users" WHERE "id" = 1
SELECT * FROM USERS WHERE ID = NULL
SELECT * FROM users WHERE id = 0.5
SELECT * FROM users WHERE id = 1e3
SELECT * FROM users WHERE id =-1

# group select-by-id-cast
SELECT * FROM users WHERE id = 1::int
SELECT * FROM users WHERE id = $1::int
SELECT * FROM users WHERE id = '12'::int

# group select-by-id-bigint
SELECT * FROM users WHERE id = 1::bigint

# group select-by-id-castfn
SELECT * FROM users WHERE id = CAST('12' AS int)
SELECT * FROM users WHERE id = CAST($1 AS int)

# group select-by-name
SELECT * FROM users WHERE name = 'Anna'
SELECT * FROM users WHERE name = 'O''Brien'
SELECT * FROM users WHERE name = E'O\'Brien\n'
SELECT * FROM users WHERE name = U&'d\0061t\+000061'
SELECT * FROM users WHERE name = $$dollar 'quoted'$$
SELECT * FROM users WHERE name = $tag$ $$ $tag$
SELECT * FROM users WHERE name = $1
SELECT * FROM users WHERE name = 'one'
	'two'
SELECT * FROM users WHERE name = E'one\''
	'two\'' -- the escapes go on
SELECT * FROM users WHERE name = ''
SELECT * FROM users WHERE name = 'not -- a comment'
SELECT * FROM users WHERE name = 'not /* a comment'
SELECT * FROM users WHERE name = ';'

# group select-by-email
SELECT * FROM users WHERE email = 'anna@example.org'

# group select-quoted-camel
SELECT "displayName" FROM users

# group select-unquoted-camel
SELECT displayname FROM (SELECT "displayName" AS displayname FROM users) u

# group reserved-quoted
SELECT "user" FROM "order"

# group reserved-plain
SELECT user FROM "order"

# group reserved-table
SELECT id, "group" FROM "order" WHERE "group" = 'a'
SELECT id, "group" FROM "order" WHERE "group" = 'b'

# group two-conditions
SELECT id FROM users WHERE name = 'a' AND age > 18
select id from users where name = $1 and age > $2
SELECT id FROM users WHERE name='a'AND age>18

# group two-conditions-or
SELECT id FROM users WHERE name = 'a' OR age > 18

# group greater-equal
SELECT id FROM users WHERE age >= 18
SELECT id FROM users WHERE age >=-18

# group not-equal
SELECT id FROM users WHERE age <> 18
SELECT id FROM users WHERE age != 18

# group is-null
SELECT id FROM users WHERE email IS NULL

# group is-not-null
SELECT id FROM users WHERE email IS NOT NULL

# group is-true
SELECT id FROM users WHERE active IS TRUE

# group is-not-true
SELECT id FROM users WHERE active IS NOT TRUE

# group is-false
SELECT id FROM users WHERE active IS FALSE

# group is-unknown
SELECT id FROM users WHERE active IS UNKNOWN

# group eq-true
SELECT id FROM users WHERE active = TRUE
SELECT id FROM users WHERE active = false
SELECT id FROM users WHERE active = $1
SELECT id FROM users WHERE active = 't'

# group plain-bool
SELECT id FROM users WHERE active

# group is-distinct
SELECT id FROM users WHERE age IS DISTINCT FROM 5
SELECT id FROM users WHERE age IS DISTINCT FROM -5

# group between
SELECT id FROM users WHERE age BETWEEN 1 AND 5
SELECT id FROM users WHERE age BETWEEN $1 AND $2
SELECT id FROM users WHERE age BETWEEN -1 AND -5
SELECT id FROM users WHERE age BETWEEN'1'AND'5'

# group between-symmetric
SELECT id FROM users WHERE age BETWEEN SYMMETRIC 5 AND 1

# group in-list
SELECT id FROM users WHERE id IN (1)
SELECT id FROM users WHERE id IN (1, 2, 3)
SELECT id FROM users WHERE id IN (-1, +2, NULL)
SELECT id FROM users WHERE id IN ($1, $2, $3, $4)
SELECT id FROM users WHERE id IN ('1', '2')
SELECT id FROM users WHERE id IN(1,2)
SELECT id FROM users WHERE id IN ($1::int, $2::int)
SELECT id FROM users WHERE id IN ('1'::int, '2'::int)
SELECT id FROM users WHERE id IN (1::numeric(10, 2), 2::double precision)

# group not-in-list
SELECT id FROM users WHERE id NOT IN (1, 2, 3)
SELECT id FROM users WHERE id NOT IN (1)

# group in-mixed
SELECT id FROM users WHERE id IN (age, 2)
SELECT id FROM users WHERE id IN (age, 3)

# group in-mixed-three
SELECT id FROM users WHERE id IN (age, 2, 3)

# group in-subquery
SELECT id FROM users WHERE id IN (SELECT author_id FROM posts WHERE views > 10)
SELECT id FROM users WHERE id IN (SELECT author_id FROM posts WHERE views > 1000)

# group in-tuples
SELECT id FROM users WHERE (id, age) IN ((1, 2))
SELECT id FROM users WHERE (id, age) IN ((1, 2), (3, 4))
SELECT id FROM users WHERE (id, age) IN ((1, 2), (3, 4), (5, 6))
SELECT id FROM users WHERE (id, age) IN (ROW(1, 2), ROW(3, 4))

# group in-values
SELECT id FROM users WHERE id IN (VALUES (1), (2))
SELECT id FROM users WHERE id IN (VALUES (1), (2), (3))

# group any-array-literal
SELECT id FROM users WHERE id = ANY ('{1,2,3}')
SELECT id FROM users WHERE id = ANY ($1)

# group any-array
SELECT id FROM users WHERE id = ANY (ARRAY[1, 2, 3])
SELECT id FROM users WHERE id = ANY (ARRAY[1])

# group any-array-cast
SELECT id FROM users WHERE id = ANY (ARRAY[1, 2]::int[])
SELECT id FROM users WHERE id = ANY (ARRAY[1, 2, 3, 4]::int[])

# group array-of-columns
SELECT ARRAY[id, age] FROM users

# group array-nested
SELECT ARRAY[[1, 2], [3, 4]]
SELECT ARRAY[[1], [3]]

# group array-index
SELECT tags[1] FROM users
SELECT tags[2] FROM users

# group array-slice
SELECT tags[1:2] FROM users
SELECT tags[2:3] FROM users

# group limit
SELECT id FROM users ORDER BY id LIMIT 10
SELECT id FROM users ORDER BY id LIMIT 100
SELECT id FROM users ORDER BY id LIMIT $1
SELECT id FROM users ORDER BY id LIMIT ALL

# group limit-offset
SELECT id FROM users ORDER BY id LIMIT 10 OFFSET 20
SELECT id FROM users ORDER BY id LIMIT $1 OFFSET $2

# group fetch-first
SELECT id FROM users ORDER BY id FETCH FIRST 5 ROWS ONLY
SELECT id FROM users ORDER BY id FETCH FIRST 7 ROWS ONLY

# group order-desc
SELECT id FROM users ORDER BY id DESC LIMIT 10

# group order-position
SELECT id, name FROM users ORDER BY 1
SELECT id, name FROM users ORDER BY 2

# group order-nulls
SELECT id FROM users ORDER BY age NULLS FIRST

# group group-by
SELECT age, count(*) FROM users GROUP BY age HAVING count(*) > 1
SELECT age, count( * ) FROM users GROUP BY age HAVING count(*) > 5

# group group-by-sets
SELECT age, active, count(*) FROM users GROUP BY GROUPING SETS ((age), (active))

# group distinct
SELECT DISTINCT age FROM users

# group distinct-on
SELECT DISTINCT ON (age) age, id FROM users

# group arithmetic
SELECT age + 1, age - 1, age * 2, age / 2, age % 2 FROM users
SELECT age+1,age-1,age*2,age/2,age%2 FROM users
SELECT age + 10, age - 10, age * -20, age / -20, age % 3 FROM users

# group minus-literal
SELECT age -5 FROM users
SELECT age - 5 FROM users
SELECT age - -5 FROM users
SELECT age -$1 FROM users

# group minus-column
SELECT -age FROM users
SELECT - age FROM users

# group select-negative
SELECT -1
SELECT 1
SELECT - 1
SELECT 'x'
SELECT NULL
SELECT true
SELECT'a'
SELECT .5
SELECT 1.5e-3
SELECT B'101'
SELECT X'1F'

# group select-plus
SELECT + 1 AS x
SELECT 1 AS x

# group case
SELECT CASE WHEN age > 18 THEN 'adult' ELSE 'child' END FROM users
SELECT CASE WHEN age > 21 THEN 'a' ELSE 'b' END FROM users
SELECT CASE WHEN age > -21 THEN -1 ELSE -2 END FROM users

# group case-end-minus
SELECT CASE WHEN age > 18 THEN 1 END - 5 FROM users
SELECT CASE WHEN age > 18 THEN 1 END -7 FROM users

# group coalesce
SELECT coalesce(age, 0) FROM users
SELECT COALESCE(age, -1) FROM users

# group nullif
SELECT nullif(age, 0) FROM users

# group extract
SELECT extract(year FROM created_at) FROM users
SELECT extract(MONTH FROM created_at) FROM users
SELECT EXTRACT('epoch' FROM created_at) FROM users

# group date-part
SELECT date_part('year', created_at) FROM users

# group interval
SELECT now() - interval '1 day'
SELECT now() - interval '2 hours'
SELECT now() - interval'2 hours'

# group interval-field
SELECT now() - interval '1' day
SELECT now() - interval '5' day

# group typed-literal
SELECT id FROM orders WHERE placed > date '2024-01-01'
SELECT id FROM orders WHERE placed > date'2025-01-01'
SELECT id FROM orders WHERE placed > DATE '2025-01-01'

# group cast-literal
SELECT id FROM orders WHERE placed > '2024-01-01'::date
SELECT id FROM orders WHERE placed > $1::date

# group at-time-zone
SELECT created_at AT TIME ZONE 'UTC' FROM users
SELECT created_at AT TIME ZONE 'Europe/Berlin' FROM users

# group current-timestamp
SELECT CURRENT_TIMESTAMP

# group current-timestamp-precision
SELECT CURRENT_TIMESTAMP(3)

# group like
SELECT id FROM users WHERE name LIKE 'a%'
SELECT id FROM users WHERE name LIKE '%b%'
SELECT id FROM users WHERE name LIKE'%b%'

# group like-escape
SELECT id FROM users WHERE name LIKE 'a!%' ESCAPE '!'

# group ilike
SELECT id FROM users WHERE name ILIKE 'a%'

# group similar
SELECT id FROM users WHERE name SIMILAR TO '(a|b)%'

# group regex
SELECT id FROM users WHERE name ~ '^a'

# group regex-not
SELECT id FROM users WHERE name !~* '^a'

# group substring
SELECT substring(name FROM 1 FOR 3) FROM users
SELECT substring(name FROM 2 FOR 5) FROM users

# group substring-call
SELECT substring(name, 1, 3) FROM users

# group position
SELECT position('a' IN name) FROM users

# group overlay
SELECT overlay(name PLACING 'xx' FROM 2 FOR 1) FROM users

# group trim
SELECT trim(BOTH 'x' FROM name) FROM users

# group normalize-form
SELECT normalize(name, NFC) FROM users
SELECT normalize(name, NFD) FROM users

# group is-normalized
SELECT name IS NFC NORMALIZED FROM users
SELECT name IS NFKD NORMALIZED FROM users

# group concat
SELECT name || ' ' || email FROM users
SELECT name||' '||email FROM users

# group json-arrow
SELECT data -> 'a' FROM users
SELECT data->'b' FROM users
SELECT data -> 1 FROM users

# group json-arrow-negative
SELECT data -> -1 -> 'x' FROM users
SELECT data->-2->'y' FROM users

# group json-arrow-text
SELECT data ->> 'a' FROM users

# group json-path
SELECT data #>> '{a,b}' FROM users

# group json-exists
SELECT id FROM users WHERE data ? 'a'
SELECT id FROM users WHERE data ? 'b'

# group json-exists-any
SELECT id FROM users WHERE data ?| ARRAY['a', 'b']
SELECT id FROM users WHERE data ?| ARRAY['a', 'b', 'c']

# group json-contains
SELECT id FROM users WHERE data @> '{"a": 1}'
SELECT id FROM users WHERE data @> '{"a": 1, "b": {"c": "it''s"}}'

# group json-jsonpath
SELECT id FROM users WHERE data @? '$.a[*] ? (@ > 2)'

# group array-overlap
SELECT id FROM users WHERE tags && ARRAY['a']
SELECT id FROM users WHERE tags && ARRAY['a', 'b']

# group operator-schema
SELECT id FROM users WHERE age OPERATOR(pg_catalog.=) 5

# group join
SELECT p.id, u.name FROM posts p JOIN users u ON u.id = p.author_id WHERE p.views > 5
select p.id, u.name from posts p join users u on u.id = p.author_id where p.views > $1

# group join-inner
SELECT p.id, u.name FROM posts p INNER JOIN users u ON u.id = p.author_id WHERE p.views > 5

# group join-left
SELECT p.id, u.name FROM posts p LEFT JOIN users u ON u.id = p.author_id

# group join-left-outer
SELECT p.id, u.name FROM posts p LEFT OUTER JOIN users u ON u.id = p.author_id

# group join-using
SELECT * FROM users JOIN nodes USING (id)

# group join-comma
SELECT p.id FROM posts p, users u WHERE u.id = p.author_id

# group alias-as
SELECT id AS user_id FROM users AS u

# group alias-no-as
SELECT id user_id FROM users u

# group alias-other-name
SELECT id AS uid FROM users AS v

# group column-order
SELECT id, name FROM users

# group column-order-swapped
SELECT name, id FROM users

# group star-qualified
SELECT u.* FROM users u

# group schema-qualified
SELECT id, name FROM public.users

# group subselect
SELECT (SELECT count(*) FROM posts WHERE author_id = u.id AND views > 10) FROM users u
SELECT (SELECT count(*) FROM posts WHERE author_id = u.id AND views > 99) FROM users u

# group exists
SELECT id FROM users u WHERE EXISTS (SELECT 1 FROM posts p WHERE p.author_id = u.id)

# group lateral
SELECT u.id, l.title FROM users u, LATERAL (SELECT title FROM posts p WHERE p.author_id = u.id LIMIT 3) l

# group union
SELECT id FROM users WHERE age = 1 UNION SELECT id FROM posts WHERE views = 2

# group union-all
SELECT id FROM users WHERE age = 1 UNION ALL SELECT id FROM posts WHERE views = 2

# group intersect
(SELECT id FROM users LIMIT 5) INTERSECT (SELECT author_id FROM posts LIMIT 5)

# group cte
WITH recent AS (SELECT * FROM posts WHERE created_at > now() - interval '1 day') SELECT count(*) FROM recent
WITH recent AS (SELECT * FROM posts WHERE created_at > now() - interval '7 day') SELECT count(*) FROM recent

# group cte-materialized
WITH recent AS MATERIALIZED (SELECT * FROM posts) SELECT count(*) FROM recent

# group cte-recursive
WITH RECURSIVE t(n, p) AS (SELECT id, parent FROM nodes WHERE id = 1 UNION ALL SELECT c.id, c.parent FROM nodes c JOIN t ON c.parent = t.n WHERE t.n < 100) SELECT * FROM t
WITH RECURSIVE t(n, p) AS (SELECT id, parent FROM nodes WHERE id = 2 UNION ALL SELECT c.id, c.parent FROM nodes c JOIN t ON c.parent = t.n WHERE t.n < 7) SELECT * FROM t

# group window
SELECT id, row_number() OVER (PARTITION BY author_id ORDER BY views DESC) FROM posts

# group window-frame
SELECT sum(views) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) FROM posts
SELECT sum(views) OVER (ORDER BY id ROWS BETWEEN 5 PRECEDING AND 9 FOLLOWING) FROM posts

# group window-named
SELECT lag(views, 1) OVER w FROM posts WINDOW w AS (ORDER BY id)

# group filter
SELECT count(*) FILTER (WHERE views > 5) FROM posts
SELECT count(*) FILTER (WHERE views > 9) FROM posts

# group within-group
SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY views) FROM posts
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY views) FROM posts

# group aggregate-order
SELECT string_agg(name, ', ' ORDER BY id) FROM users

# group tablesample
SELECT id FROM users TABLESAMPLE BERNOULLI (10) REPEATABLE (42)
SELECT id FROM users TABLESAMPLE BERNOULLI (50) REPEATABLE (1)

# group for-update
SELECT id FROM users WHERE id = 1 FOR UPDATE

# group for-update-skip
SELECT id FROM users WHERE id = 1 FOR UPDATE SKIP LOCKED

# group for-share
SELECT id FROM users WHERE id = 1 FOR SHARE

# group generate-series
SELECT * FROM generate_series(1, 10) AS g(i)
SELECT * FROM generate_series(5, 500) AS g(i)

# group generate-series-step
SELECT * FROM generate_series(1, 10, 2) AS g(i)

# group generate-series-same
SELECT * FROM generate_series(1, 1) AS g(i) WHERE i IN (1)

# group named-args
SELECT make_interval(days => 10)
SELECT make_interval(days => 20)

# group named-args-old
SELECT make_interval(days := 10)

# group named-args-hours
SELECT make_interval(hours => 10)

# group function-call
SELECT set_config('application_name', 'x', false)
SELECT set_config('work_mem', '8MB', true)

# group advisory-lock
SELECT pg_advisory_xact_lock(1234567)
SELECT pg_advisory_xact_lock(-99)

# group nextval
SELECT nextval('ticket')

# group select-version
SELECT pg_catalog.version()

# group select-into-row
SELECT ROW(1, 'a')
SELECT ROW(2, 'b')

# group row-compare
SELECT id FROM users WHERE (id, age) > (1, 2)

# group collate
SELECT name COLLATE "C" FROM users

# group values-only
VALUES (1, 'a')
VALUES (1, 'a'), (2, 'b')

# group table-only
TABLE nodes

# group xml
SELECT xmlelement(name foo, xmlattributes('a' AS bar), 'text')

# group composite-field
SELECT (u).name FROM users u

# group catalog
SELECT c.oid, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(users)$' COLLATE pg_catalog.default AND pg_catalog.pg_table_is_visible(c.oid)

# group catalog-regclass
SELECT a.attname FROM pg_attribute a WHERE a.attrelid = 'users'::regclass AND a.attnum > 0 AND NOT a.attisdropped

# group orm-select
SELECT users.id AS users_id, users.name AS users_name FROM users WHERE users.name = 'a' LIMIT 1
SELECT users.id AS users_id, users.name AS users_name
	FROM users
	WHERE users.name = $1
	 LIMIT $2
SELECT users.id AS users_id, users.name AS users_name
	FROM users
	WHERE users.name = E'back\\slash'
	 LIMIT 7

# group orm-select-cast
SELECT users.id, users.name FROM users WHERE users.name = $1::VARCHAR

# group orm-in
SELECT users.id FROM users WHERE users.id IN ($1::INTEGER, $2::INTEGER)
SELECT users.id FROM users WHERE users.id IN ($1::INTEGER)

# group insert
INSERT INTO orders (customer_id, sku) VALUES (1, 'A')
INSERT INTO orders (customer_id, sku) VALUES (2, NULL)
INSERT INTO orders (customer_id, sku) VALUES ($1, $2)
INSERT INTO orders(customer_id,sku)VALUES(1,'A')
INSERT INTO orders (customer_id, sku) VALUES (1, 'A'), (2, 'B')
INSERT INTO orders (customer_id, sku) VALUES (1, 'A'), (2, 'B'), (-3, 'C')
INSERT INTO orders (customer_id, sku) VALUES ($1, $2), ($3, $4)
INSERT INTO orders (customer_id, sku) VALUES (1::int, 'A'::text), (2::int, 'B'::text)

# group insert-three
INSERT INTO orders (customer_id, sku, qty) VALUES (1, 'A', 5)

# group insert-returning
INSERT INTO orders (customer_id, sku) VALUES (1, 'A') RETURNING id
INSERT INTO orders (customer_id, sku) VALUES (1, 'A'), (3, 'C') RETURNING id

# group insert-returning-cast
INSERT INTO orders (customer_id, sku) VALUES ($1::INTEGER, $2::VARCHAR) RETURNING orders.id
INSERT INTO orders (customer_id, sku) VALUES ($1::INTEGER, $2::VARCHAR), ($3::INTEGER, $4::VARCHAR) RETURNING orders.id

# group insert-default
INSERT INTO orders (id, sku) VALUES (DEFAULT, 'A')
INSERT INTO orders (id, sku) VALUES (DEFAULT, 'A'), (DEFAULT, 'B')

# group insert-function
INSERT INTO comments (body, created_at) VALUES ('a', now())
INSERT INTO comments (body, created_at) VALUES ('a', now()), ('b', now()), ('c', now())

# group insert-function-two-shapes
INSERT INTO comments (body, created_at) VALUES ('a', now()), ('b', NULL)
INSERT INTO comments (body, created_at) VALUES ('a', now()), ('b', '2024-01-01'), ('c', now())

# group insert-default-values
INSERT INTO orders DEFAULT VALUES

# group insert-select
INSERT INTO orders (customer_id, sku) SELECT id, 'x' FROM users WHERE age > 5
INSERT INTO orders (customer_id, sku) SELECT id, 'y' FROM users WHERE age > 7

# group insert-conflict-nothing
INSERT INTO users (name, email) VALUES ('a', 'a@example.org') ON CONFLICT DO NOTHING
INSERT INTO users (name, email) VALUES ('a', 'a@example.org'), ('b', 'b@example.org') ON CONFLICT DO NOTHING

# group insert-conflict-update
INSERT INTO users (name, email) VALUES ('a', 'c@example.org') ON CONFLICT (email) DO UPDATE SET name = excluded.name, age = 5
INSERT INTO users (name, email) VALUES ('a', 'd@example.org') ON CONFLICT (email) DO UPDATE SET name = excluded.name, age = -6

# group insert-many-values
INSERT INTO orders (customer_id, sku) SELECT p0::INTEGER, p1::VARCHAR FROM (VALUES ($1::INTEGER, $2::VARCHAR, 0), ($3::INTEGER, $4::VARCHAR, 1)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING orders.id, orders.id AS id__1
INSERT INTO orders (customer_id, sku) SELECT p0::INTEGER, p1::VARCHAR FROM (VALUES ('1'::INTEGER, 'a'::VARCHAR, 0)) AS imp_sen(p0, p1, sen_counter) ORDER BY sen_counter RETURNING orders.id, orders.id AS id__1

# group insert-overriding
INSERT INTO orders (id, sku) OVERRIDING SYSTEM VALUE VALUES (10000, 'A')

# group update
UPDATE users SET name = 'a', age = 5 WHERE id = 1
UPDATE users SET name = 'b', age = NULL WHERE id = 2
UPDATE users SET name = $1, age = $2 WHERE id = $3
UPDATE users SET name='b',age=-1 WHERE id=2

# group update-one
UPDATE users SET name = 'a' WHERE id = 1

# group update-increment
UPDATE posts SET views = views + 1 WHERE id = 1
UPDATE posts SET views = views + 10 WHERE id = 100

# group update-default
UPDATE users SET active = DEFAULT WHERE id = 1

# group update-from
UPDATE posts SET title = u.name FROM users u WHERE u.id = posts.author_id AND u.age > 99

# group update-row
UPDATE users SET (name, age) = ('a', 5) WHERE id = 1

# group update-returning
UPDATE users SET active = false WHERE age < 5 RETURNING id, name

# group delete
DELETE FROM comments WHERE id = 1
DELETE FROM comments WHERE id = $1

# group delete-in
DELETE FROM comments WHERE id IN (1, 2)
DELETE FROM comments WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)

# group delete-using
DELETE FROM comments USING posts WHERE posts.id = comments.post_id AND posts.views > 9999

# group delete-all
DELETE FROM comments

# group merge
MERGE INTO orders o USING users u ON o.customer_id = u.id WHEN MATCHED THEN UPDATE SET qty = 5 WHEN NOT MATCHED THEN INSERT (customer_id, qty) VALUES (u.id, 1)
MERGE INTO orders o USING users u ON o.customer_id = u.id WHEN MATCHED THEN UPDATE SET qty = 7 WHEN NOT MATCHED THEN INSERT (customer_id, qty) VALUES (u.id, -2)

# group cte-delete
WITH gone AS (DELETE FROM comments WHERE id = 5 RETURNING *) SELECT count(*) FROM gone
WITH gone AS (DELETE FROM comments WHERE id = 6 RETURNING *) SELECT count(*) FROM gone

# group pgbench-update-accounts
UPDATE pgbench_accounts SET abalance = abalance + -4387 WHERE aid = 43
UPDATE pgbench_accounts SET abalance = abalance + 12 WHERE aid = 99999
UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2

# group pgbench-select
SELECT abalance FROM pgbench_accounts WHERE aid = 43
SELECT abalance FROM pgbench_accounts WHERE aid = $1

# group pgbench-update-tellers
UPDATE pgbench_tellers SET tbalance = tbalance + -4387 WHERE tid = 3

# group pgbench-update-branches
UPDATE pgbench_branches SET bbalance = bbalance + 4387 WHERE bid = 1

# group pgbench-insert
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (3, 1, 43, -4387, CURRENT_TIMESTAMP)
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)

# group begin
BEGIN
begin;

# group begin-transaction
BEGIN TRANSACTION

# group begin-isolation
BEGIN ISOLATION LEVEL SERIALIZABLE

# group start-transaction
START TRANSACTION

# group begin-read-only
BEGIN READ ONLY

# group commit
COMMIT

# group end
END

# group rollback
ROLLBACK

# group abort
ABORT

# group savepoint
SAVEPOINT sa_savepoint_1
SAVEPOINT sa_savepoint_12
savepoint "sa_savepoint_3"

# group savepoint-django
SAVEPOINT "s140201554773760_x1"
SAVEPOINT "s139982345_x22"

# group savepoint-word
SAVEPOINT before_import

# group release-savepoint
RELEASE SAVEPOINT sa_savepoint_1
RELEASE SAVEPOINT sa_savepoint_2

# group release
RELEASE sa_savepoint_1

# group rollback-to
ROLLBACK TO SAVEPOINT sa_savepoint_1
ROLLBACK TO SAVEPOINT sa_savepoint_2

# group prepare-transaction
PREPARE TRANSACTION 'abc'
PREPARE TRANSACTION 'def'

# group commit-prepared
COMMIT PREPARED 'abc'

# group rollback-prepared
ROLLBACK PREPARED 'abc'

# group set
SET work_mem = '8MB'
SET work_mem = '16MB'

# group set-to
SET work_mem TO '8MB'

# group set-local
SET LOCAL work_mem = '8MB'

# group set-word
SET statement_timeout = 1000
SET statement_timeout = 2000

# group set-negative
SET extra_float_digits = -1
SET extra_float_digits = 3

# group set-search-path
SET search_path TO public
SET search_path TO "$user", public
SET search_path TO a, b, c

# group set-default
SET work_mem TO DEFAULT

# group set-time-zone
SET TIME ZONE 'UTC'

# group set-session-chars
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED

# group set-transaction
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

# group set-transaction-read
SET TRANSACTION READ ONLY

# group set-role
SET ROLE app

# group reset
RESET work_mem

# group reset-all
RESET ALL

# group show
SHOW transaction_isolation

# group show-other
SHOW standard_conforming_strings

# group discard
DISCARD ALL

# group declare
DECLARE "c_7f2b81ab_1" CURSOR FOR SELECT id FROM users WHERE age > 5
DECLARE "c_7fe0aa13_22" CURSOR FOR SELECT id FROM users WHERE age > 7

# group declare-plain
DECLARE cur CURSOR FOR SELECT id FROM users WHERE age > 5

# group declare-hold
DECLARE cur NO SCROLL CURSOR WITH HOLD FOR SELECT id FROM users

# group fetch-forward
FETCH FORWARD 100 FROM "c_7f2b81ab_1"
FETCH FORWARD 100 FROM "c_7fe0aa13_22"

# group fetch-all
FETCH ALL FROM cur

# group fetch-next
FETCH NEXT FROM cur

# group move
MOVE 5 IN cur

# group close
CLOSE "c_7f2b81ab_1"
CLOSE "c_7fe0aa13_22"

# group close-all
CLOSE ALL

# group close-plain
CLOSE cur

# group prepare
PREPARE s_1 (int) AS SELECT id FROM users WHERE id = $1
PREPARE s_22 (int) AS SELECT id FROM users WHERE id = $1

# group execute
EXECUTE s_1 (1)
EXECUTE s_22 (2)

# group deallocate
DEALLOCATE __asyncpg_stmt_1a__
DEALLOCATE __asyncpg_stmt_f__

# group deallocate-pg3
DEALLOCATE _pg3_0
DEALLOCATE _pg3_17

# group deallocate-all
DEALLOCATE ALL

# group deallocate-prepare
DEALLOCATE PREPARE s_1

# group listen
LISTEN chan

# group unlisten
UNLISTEN *

# group notify
NOTIFY chan, 'payload 1'
NOTIFY chan, 'payload 2'

# group lock
LOCK TABLE users IN SHARE MODE

# group lock-exclusive
LOCK TABLE users IN ACCESS EXCLUSIVE MODE

# group truncate
TRUNCATE comments

# group truncate-cascade
TRUNCATE comments, posts RESTART IDENTITY CASCADE

# group copy-in
COPY orders (customer_id, sku) FROM STDIN

# group copy-in-csv
COPY orders (customer_id, sku) FROM STDIN WITH (FORMAT csv, NULL '')

# group copy-in-binary
COPY orders (customer_id, sku) FROM STDIN WITH (FORMAT binary)

# group copy-out
COPY orders TO STDOUT

# group copy-query
COPY (SELECT id FROM orders WHERE qty > 5) TO STDOUT
COPY (SELECT id FROM orders WHERE qty > 9) TO STDOUT

# group explain
EXPLAIN SELECT id FROM users WHERE id = 1
EXPLAIN SELECT id FROM users WHERE id = 2

# group explain-analyze
EXPLAIN (ANALYZE, BUFFERS) SELECT id FROM users WHERE id = 1

# group explain-update
EXPLAIN UPDATE users SET age = NULL WHERE id = 1
EXPLAIN UPDATE users SET age = 5 WHERE id = 2

# group vacuum
VACUUM

# group vacuum-analyze
VACUUM ANALYZE orders

# group analyze
ANALYZE users

# group analyze-columns
ANALYZE users (name, email)

# group checkpoint
CHECKPOINT

# group create-table
CREATE TABLE t1 (id int PRIMARY KEY, a text NOT NULL, b int DEFAULT 5)
CREATE TABLE t1 (id int PRIMARY KEY, a text NOT NULL, b int DEFAULT 7)
CREATE TABLE t1 (id int PRIMARY KEY, a text NOT NULL, b int DEFAULT NULL)

# group create-table-null
CREATE TABLE t1 (id int PRIMARY KEY, a text NULL, b int DEFAULT 5)

# group create-table-check
CREATE TABLE t1 (id int CHECK (id > 5), f int REFERENCES users ON DELETE SET NULL)
CREATE TABLE t1 (id int CHECK (id > -5), f int REFERENCES users ON DELETE SET NULL)

# group create-table-default-action
CREATE TABLE t1 (id int CHECK (id > 5), f int REFERENCES users ON DELETE SET DEFAULT)

# group create-temp
CREATE TEMP TABLE tmp_ids (id int) ON COMMIT DROP

# group create-table-as
CREATE TABLE t2 AS SELECT id FROM users WHERE age > 5
CREATE TABLE t2 AS SELECT id FROM users WHERE age > 6

# group create-table-varchar
CREATE TABLE t1 (a varchar(10))
CREATE TABLE t1 (a varchar(20))

# group create-partitioned
CREATE TABLE part (id int, d date) PARTITION BY RANGE (d)

# group create-index
CREATE INDEX ON users (age)

# group create-index-where
CREATE UNIQUE INDEX i1 ON users (lower(name)) WHERE active IS TRUE

# group create-view
CREATE VIEW v1 AS SELECT id FROM users WHERE age > 5

# group create-function
CREATE FUNCTION f1(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE FUNCTION f1(a int) RETURNS int LANGUAGE sql AS $$ SELECT 2; $$

# group create-function-strict
CREATE FUNCTION f1(a int) RETURNS int RETURNS NULL ON NULL INPUT LANGUAGE sql AS 'SELECT 1'

# group create-function-atomic
CREATE FUNCTION f1(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT a; END

# group create-rule
CREATE RULE r1 AS ON INSERT TO nodes DO ALSO (DELETE FROM comments WHERE id = 5; DELETE FROM comments WHERE id = 6)

# group create-trigger
CREATE TRIGGER tr1 BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()

# group create-type
CREATE TYPE mood AS ENUM ('sad', 'ok')

# group create-extension
CREATE EXTENSION IF NOT EXISTS plpgsql

# group create-schema
CREATE SCHEMA s1

# group create-role
CREATE ROLE r1 PASSWORD 'secret'

# group create-sequence
CREATE SEQUENCE seq1 INCREMENT BY 5 START WITH 100

# group alter-table-add
ALTER TABLE nodes ADD COLUMN extra text

# group alter-table-add-default
ALTER TABLE nodes ADD COLUMN extra int DEFAULT 0 NOT NULL

# group alter-table-set-null
ALTER TABLE nodes ALTER COLUMN name SET NOT NULL

# group alter-table-drop-null
ALTER TABLE nodes ALTER COLUMN name DROP NOT NULL

# group alter-sequence
ALTER SEQUENCE ticket RESTART WITH 1000

# group drop-table
DROP TABLE IF EXISTS nothing_here

# group drop-view
DROP VIEW active_users

# group grant
GRANT SELECT ON users TO public

# group revoke
REVOKE SELECT ON users FROM public

# group comment-on
COMMENT ON TABLE users IS 'people'
COMMENT ON TABLE users IS 'persons'

# group comment-on-null
COMMENT ON TABLE users IS NULL

# group do-block
DO $$ BEGIN PERFORM 1; END $$
DO $body$ BEGIN PERFORM 2; PERFORM 3; END $body$

# group call
CALL touch(1, 'a')
CALL touch(2, NULL)

# group reindex
REINDEX TABLE users

# group refresh
CREATE MATERIALIZED VIEW mv1 AS SELECT 1 AS one

# group security-label
ALTER ROLE postgres SET work_mem = '8MB'
