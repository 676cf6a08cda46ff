"""What libraries do slowly, and the same for each of hundreds of tests: done once in a process.

hurry()        # as often as you like: what is not imported yet is left alone
"""

import sqlite3
import sys
from collections.abc import Callable
from typing import Any


def hurry() -> None:
    """Patch what has been imported."""
    if experimental := sys.modules.get("azure.ai.ml._utils._experimental"):
        # Before a notice that nobody sees it looks through the whole stack, and in the source of every frame.
        experimental._should_skip_warning = lambda: True  # type: ignore[attr-defined]
    utils = sys.modules.get("mlflow.store.db.utils")
    if utils and not isinstance(utils._initialize_tables, Tables):
        utils._initialize_tables = Tables(utils._initialize_tables)  # type: ignore[attr-defined]


class Tables:
    """MLflow's maker of a database's tables, whose forty migrations take seconds: SQLite's are copied."""

    def __init__(self, make: Callable[[Any], None]) -> None:
        self._make = make
        self._made: sqlite3.Connection | None = None

    def __call__(self, engine: Any) -> None:
        if engine.dialect.name != "sqlite" or not self._made:
            self._make(engine)
        if engine.dialect.name != "sqlite":
            return
        connection = engine.raw_connection()
        try:
            if self._made:
                self._made.backup(connection.driver_connection)
            else:
                self._made = sqlite3.connect(":memory:", check_same_thread=False)
                connection.driver_connection.backup(self._made)
        finally:
            connection.close()
