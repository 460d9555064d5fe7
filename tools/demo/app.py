# SPDX-License-Identifier: Apache-2.0
"""A small shop on FastAPI and PostgreSQL, with the habits that a profiler is called for.

Fast routes beside a list that asks once per row, a search without an index, a route that burns CPU
on the event loop, a synchronous driver in the thread pool, an outgoing call, and errors. Started by
demo.sh with DEMO_PG_URL, DEMO_PG_DSN and DEMO_URL set.
"""

import os
import urllib.request

import asyncpg
import psycopg2.pool
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI(title="Demo shop")
db = None
sync_db = None


class Order(BaseModel):
    customer_id: int
    product_id: int
    quantity: int = 1


@app.on_event("startup")
async def open_pools():
    global db, sync_db
    db = await asyncpg.create_pool(os.environ["DEMO_PG_URL"], min_size=4, max_size=8,
                                   max_queries=500)  # recycled: statements are prepared anew
    sync_db = psycopg2.pool.ThreadedConnectionPool(2, 40, os.environ["DEMO_PG_DSN"])


@app.on_event("shutdown")
async def close_pools():
    await db.close()
    sync_db.closeall()


@app.get("/health")
async def health():
    return {"ok": True}


@app.get("/customers/{id}")
async def customer(id: int):
    row = await db.fetchrow("SELECT id, name, city FROM customers WHERE id = $1", id)
    if row is None:
        raise HTTPException(404, "no such customer")
    return dict(row)


@app.get("/customers/{id}/orders")
async def customer_orders(id: int):
    """One query for the list, then one more for each of its rows."""
    orders = await db.fetch(
        "SELECT id, product_id, quantity FROM orders WHERE customer_id = $1 LIMIT 20", id)
    answer = []
    for order in orders:
        product = await db.fetchrow(
            "SELECT name, price_cents FROM products WHERE id = $1", order["product_id"])
        answer.append({"order": order["id"], "product": product["name"],
                       "cents": product["price_cents"] * order["quantity"]})
    return answer


@app.post("/orders", status_code=201)
async def place_order(order: Order):
    async with db.acquire() as conn, conn.transaction():
        price = await conn.fetchval(
            "SELECT price_cents FROM products WHERE id = $1", order.product_id)
        number = await conn.fetchval(
            "INSERT INTO orders (customer_id, product_id, quantity, note)"
            " VALUES ($1, $2, $3, 'web') RETURNING id",
            order.customer_id, order.product_id, order.quantity)
    return {"order": number, "cents": price * order.quantity}


@app.get("/search")
async def search(q: str):
    """No index can serve this pattern: the whole table is read every time."""
    rows = await db.fetch(
        "SELECT id, note FROM orders WHERE note LIKE '%' || $1 || '%' ORDER BY created LIMIT 10", q)
    return [dict(r) for r in rows]


@app.get("/reports/{city}")
def report(city: str):
    """A synchronous driver: runs in the thread pool."""
    conn = sync_db.getconn()
    try:
        with conn, conn.cursor() as cur:
            cur.execute("SELECT count(*) FROM customers WHERE city = %s", (city,))
            return {"city": city, "customers": cur.fetchone()[0]}
    finally:
        sync_db.putconn(conn)


@app.get("/price-list/{pages}")
async def price_list(pages: int):
    """Work on the event loop: every other request waits meanwhile."""
    total = 0
    for page in range(pages):
        for line in range(400):
            total = (total * 31 + page * line) % 1000003
    return {"checksum": total}


@app.get("/quote/{id}")
def quote(id: int):
    """Asks another service, here itself, over HTTP."""
    with urllib.request.urlopen(f"{os.environ['DEMO_URL']}/health", timeout=5) as answer:
        return {"quote": id, "upstream": answer.status}


@app.get("/legacy/{id}")
async def legacy(id: int):
    raise HTTPException(500, "the old system is down")
