"""Alembic's entry: serves `flask stateful db`, calls from code, and `flask db` in a checkout.

It configures no logging (that would switch off the host's) and knows no URL: the connection comes from our code, or
from the engine of the current app.
"""

from alembic import context

from stateful_engine.storage.migrate import run_environment

run_environment(context)
