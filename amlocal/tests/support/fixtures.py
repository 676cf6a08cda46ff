"""What every test relies on, here and in the repository around this project."""

import logging
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from forked import Forks
from quicker import hurry

# Started in the background by a script, we inherit that Ctrl-C is ignored, and so would every process that a test
# starts in order to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out the files that take more than two seconds")


def arrange(config: pytest.Config, items: list[pytest.Item], slow: Sequence[str]) -> None:
    """Begin with the slow files in their order, or leave them out if --quick was given."""
    if config.getoption("quick"):
        left_out = [item for item in items if item.path.name in slow]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.path.name not in slow]
    items.sort(key=lambda item: slow.index(item.path.name) if item.path.name in slow else len(slow))


@pytest.fixture(autouse=True)
def _same_environment_afterwards() -> Iterator[None]:
    """What libraries leave in this process, where a later test would find it.

    MLflow puts the address of its store into the environment; Azure's inference server disables every logger that is
    there when it is imported.
    """
    hurry()
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == "amlocal" and isinstance(logger, logging.Logger):
            logger.disabled = False


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[Forks]:
    """Runners that this process starts need not import MLflow; see forked.py."""
    from amlocal.core import processes

    forks = Forks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "subprocess", forks)
        yield forks
    forks.close()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The program; whoever asks for it is skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no Chromium")
    return found


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator[Any]:
    """A headless Chromium of Playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        yield browser
        browser.close()
