-- SPDX-License-Identifier: Apache-2.0
-- The demo shop: small tables for the fast routes, one without a useful index for the slow one.
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, city text NOT NULL);
CREATE TABLE products (id int PRIMARY KEY, name text NOT NULL, price_cents int NOT NULL);
CREATE TABLE orders (
    id bigserial PRIMARY KEY,
    customer_id int NOT NULL REFERENCES customers,
    product_id int NOT NULL REFERENCES products,
    quantity int NOT NULL,
    note text NOT NULL,
    created timestamptz NOT NULL DEFAULT now()
);
INSERT INTO customers
    SELECT i, 'Customer ' || i, (ARRAY['Aachen', 'Bergen', 'Cork', 'Delft'])[1 + i % 4]
    FROM generate_series(1, 1000) i;
INSERT INTO products
    SELECT i, 'Product ' || i, 100 + i * 7 % 9000 FROM generate_series(1, 500) i;
INSERT INTO orders (customer_id, product_id, quantity, note)
    SELECT 1 + i % 1000, 1 + i % 500, 1 + i % 5, 'note ' || md5(i::text)
    FROM generate_series(1, 60000) i;
CREATE INDEX ON orders (customer_id);
ANALYZE;
