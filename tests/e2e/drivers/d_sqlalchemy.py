# SPDX-License-Identifier: Apache-2.0
"""SQLAlchemy: ORM sessions on psycopg2, lazy loads, bulk inserts, and the pool's own statements."""

import sys

import sqlalchemy as sa
from sqlalchemy.orm import Session, declarative_base, relationship

from common import Run, wait_go

Base = declarative_base()


class User(Base):
    __tablename__ = "users"
    id = sa.Column(sa.Integer, primary_key=True)
    email = sa.Column(sa.Text)
    name = sa.Column(sa.Text)
    posts = relationship("Post")


class Post(Base):
    __tablename__ = "posts"
    id = sa.Column(sa.Integer, primary_key=True)
    user_id = sa.Column(sa.ForeignKey("users.id"))
    title = sa.Column(sa.Text)
    body = sa.Column(sa.Text)


class Event(Base):
    __tablename__ = "events"
    id = sa.Column(sa.BigInteger, primary_key=True)
    kind = sa.Column(sa.Text)
    amount = sa.Column(sa.Integer)
    note = sa.Column(sa.Text)


BY_ID = "SELECT users.name FROM users WHERE users.id = 1"


def work(url, run):
    engine = sa.create_engine(url, pool_size=2)
    with engine.connect() as conn:
        query = sa.select(User.name).where(User.id == sa.bindparam("n"))
        for n in range(200):
            with run.watch(BY_ID):
                conn.execute(query, {"n": n + 1}).fetchall()
    with Session(engine) as session:
        for user in session.query(User).order_by(User.id).limit(25):
            assert len(user.posts) == 4  # one query each
        session.add_all([Event(kind="orm", amount=n) for n in range(120)])
        session.commit()
        session.query(Event).filter(Event.amount.in_([1, 2, 3])).update(
            {"note": "seen"}, synchronize_session=False)
        session.commit()
        session.execute(sa.insert(Event), [{"kind": "bulk", "amount": n} for n in range(50)])
        session.commit()
        session.query(Event).filter(Event.kind == "orm").delete()
        session.rollback()
    with Session(engine) as session:
        session.add(User(id=1, email="a", name="b"))
        with run.fails("23505"):
            session.commit()
        session.rollback()
    with engine.connect() as conn:
        for n in range(3):
            with run.fails("42P01"):
                conn.execute(sa.text("SELECT * FROM no_such_table"))
    engine.dispose()


def main():
    run = Run(lambda e: getattr(getattr(e, "orig", e), "pgcode", None))
    wait_go()
    work(sys.argv[1], run)
    run.report()


main()
