# What an analyst does with pandas and SQLAlchemy: lists the views, reads each, and tries what must be refused.
# Takes a URL as argument and one statement per line of input; prints what it saw as lines of fields.
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import pandas
import sqlalchemy

engine = sqlalchemy.create_engine(sys.argv[1], pool_size=20)
inspector = sqlalchemy.inspect(engine)


def say(*fields):
    print("\t".join(str(field).replace("\n", " ") for field in fields), flush=True)


for view in inspector.get_view_names(schema="analytics"):
    say("view", view, inspector.get_table_comment(view, schema="analytics")["text"])
    for column in inspector.get_columns(view, schema="analytics"):
        say("column", view, column["name"], column["comment"])
    frame = pandas.read_sql_query(f"select * from analytics.{view}", engine)
    for row in frame.to_dict("records"):
        say("row", view, json.dumps(row, default=str))

for statement in map(str.strip, sys.stdin):
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("set transaction read write")
            connection.exec_driver_sql(statement)
        say("done", statement)
    except sqlalchemy.exc.DBAPIError as error:
        say("refused", error.orig.pgcode, statement)

# As many simultaneous connections as it can get.
engine.dispose()
connections = []
try:
    while len(connections) < 20:
        connections.append(engine.connect())
except sqlalchemy.exc.OperationalError as error:
    say("connections", len(connections), "too many connections" in str(error))
