"""What every test relies on."""

import pytest
from fixtures import (  # noqa: F401 (fixtures)
    _runners_are_forked,
    _same_environment_afterwards,
    chromium,
    chromium_path,
)

# What takes longest, so that it does not begin when the other worker has nothing left to do.
FIRST = ("notebooks", "test_demo.py", "workflows", "test_mlflow_jobs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(name in item.path.parts for name in FIRST))
