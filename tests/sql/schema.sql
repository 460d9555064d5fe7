-- SPDX-License-Identifier: Apache-2.0
-- Tables that corpus.sql is about.
CREATE TABLE users (
	id serial PRIMARY KEY, name text, email text UNIQUE, "displayName" text, age int,
	active boolean DEFAULT true, created_at timestamptz DEFAULT now(), balance numeric(10, 2),
	data jsonb, tags text[], ref uuid
);
CREATE TABLE posts (
	id serial PRIMARY KEY, author_id int REFERENCES users, title text, body text,
	published boolean, created_at timestamptz DEFAULT now(), views int DEFAULT 0, score float8
);
CREATE TABLE comments (
	id serial PRIMARY KEY, post_id int REFERENCES posts, user_id int REFERENCES users, body text,
	created_at timestamptz DEFAULT now()
);
CREATE TABLE orders (
	id bigserial PRIMARY KEY, customer_id int, sku text, qty int, note text, placed date
);
CREATE TABLE "order" (id int, "group" text, "user" text);
CREATE TABLE files (id int, content bytea, flags bit(3), payload xml);
CREATE TABLE nodes (id int, parent int, name text);
CREATE TABLE pgbench_accounts (aid int, bid int, abalance int, filler text);
CREATE TABLE pgbench_tellers (tid int, bid int, tbalance int, filler text);
CREATE TABLE pgbench_branches (bid int, bbalance int, filler text);
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler text);
CREATE VIEW active_users AS SELECT * FROM users WHERE active;
CREATE SEQUENCE ticket;
CREATE PROCEDURE touch(a int, b text) LANGUAGE sql AS $$ SELECT 1 $$;
INSERT INTO users (name, email, age) VALUES ('seed', 'seed@example.org', 30);
INSERT INTO posts (author_id, title, published) VALUES (1, 'seed', true);
