"""What every test relies on."""

import os
import signal
from collections.abc import Iterator

import pytest

# Started in the background by a script, we inherit that Ctrl-C is ignored, and so would every process that a test
# starts in order to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _same_environment_afterwards() -> Iterator[None]:
    """MLflow puts the address of its store into the environment, where processes of a later test would find it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


# What takes longest, so that it does not begin when the other worker has nothing left to do.
FIRST = ("notebooks", "test_demo.py", "workflows", "test_mlflow_jobs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(name in item.path.parts for name in FIRST))
