# SPDX-License-Identifier: Apache-2.0
"""An application that handles secrets in every place where a profiler could pick one up.

Used by test_privacy.py alone. The secrets come by environment; each request carries some of them in
and puts some of them into SQL, answers and outgoing calls.
"""

import asyncio
import os
import urllib.request

import asyncpg
import psycopg2
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

app = FastAPI()
pool = None
EMAIL = os.environ["HP_EMAIL"]


@app.on_event("startup")
async def startup():
    global pool
    pool = await asyncpg.create_pool(os.environ["HP_PG_URL"], min_size=2, max_size=4)


@app.post("/login/{id}")
async def login(id: str, request: Request):
    body = await request.json()
    row = await pool.fetchrow("SELECT id FROM users WHERE email = $1 OR name = $2",
                              EMAIL, body["password"])
    await pool.execute(f"UPDATE users SET name = name WHERE email = '{EMAIL}'")
    answer = JSONResponse({"email": EMAIL, "found": row is not None, "token": body["password"]})
    answer.set_cookie("session", os.environ["HP_COOKIE"])
    return answer


@app.get("/search")
def search(email: str = ""):
    # A connection each: the password goes over the wire in the clear.
    conn = psycopg2.connect(os.environ["HP_PG_PASSWORD_DSN"])
    with conn, conn.cursor() as cur:
        cur.execute("SELECT count(*), %s FROM users WHERE email = %s -- " + EMAIL, (email, email))
        cur.execute("SELECT $tag$" + EMAIL + "$tag$, E'" + EMAIL + "'")
        found = cur.fetchone()
    conn.close()
    return {"found": found}


@app.get("/out/{id}")
async def out(id: str):
    def call():
        ask = urllib.request.Request(
            f"http://127.0.0.1:{os.environ['HP_PORT']}/search?email={EMAIL}",
            headers={"Authorization": "Bearer " + os.environ["HP_TOKEN"],
                     "Cookie": "session=" + os.environ["HP_COOKIE"]})
        with urllib.request.urlopen(ask) as r:
            return r.status

    return {"status": await asyncio.to_thread(call)}


@app.get("/ready")
async def ready():
    return {}
