"""Traffic that is put back in Azure, where a change takes a while and may not come to its end: on a fake client."""

import copy
import signal
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from amlocal.rollout import traffic
from amlocal.rollout.traffic import ChangedByOthers, NotRestored, Rules, Traffic, uninterrupted

BLUE = Rules({"blue": 100}, {})
TENTH = Rules({"blue": 90, "green": 10}, {})


class SlowAzure:
    """An endpoint whose changes are seen `looks` looks after they were asked for; until then it refuses others."""

    def __init__(self, looks: int) -> None:
        self.online_endpoints = self
        self.looks = looks
        self.rules = BLUE
        self.coming: list[Rules] = []
        self.asked: list[Rules] = []
        self.left = 0
        self.meanwhile: Callable[[], Any] = lambda: None

    def get(self, name: str) -> Any:
        self.look()
        told = SimpleNamespace(traffic=dict(self.rules.live), mirror_traffic=dict(self.rules.mirror))
        return copy.deepcopy(told)

    def look(self) -> None:
        self.left -= 1
        if self.coming and self.left < 0:
            self.rules = self.coming.pop()

    def begin_create_or_update(self, endpoint: Any) -> Any:
        if self.coming:
            raise OSError("409 Conflict")
        self.asked.append(Rules(endpoint.traffic, endpoint.mirror_traffic))
        self.coming.append(self.asked[-1])
        self.left = self.looks
        return self

    def wait(self, timeout: float | None = None) -> None:
        self.meanwhile()
        while self.coming and timeout is None:
            self.look()

    def done(self) -> bool:
        return not self.coming

    def result(self) -> Any:
        return None


def interrupt() -> None:
    raise KeyboardInterrupt


def broken_off(azure: SlowAzure) -> Traffic:
    """Ctrl-C while the first tenth is on its way."""
    made = Traffic(azure, "digits", ["blue", "green"], " --target azure")
    azure.meanwhile = interrupt
    with pytest.raises(KeyboardInterrupt):
        made.set(TENTH)
    azure.meanwhile = lambda: None
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PAUSE_SECONDS", 0.0)


def test_a_change_that_comes_later_is_taken_back() -> None:
    azure = SlowAzure(looks=3)
    made = broken_off(azure)
    assert azure.rules == BLUE, "what it says while the change is on its way"
    azure.wait = lambda timeout=None: setattr(azure, "rules", azure.coming.pop())  # type: ignore[method-assign]
    made.restore(made.before)
    assert azure.asked == [TENTH, BLUE]
    assert azure.rules == BLUE and not azure.coming


def test_a_change_that_never_ends_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "AZURE_RESTORE_SECONDS", 0.05)
    made = broken_off(SlowAzure(looks=10**9))
    with pytest.raises(NotRestored) as told:
        made.restore(made.before, "green is worse")
    assert str(told.value) == (
        "green is worse; endpoint digits: its traffic could not be put back (409 Conflict); do it by hand:"
        ' aml online-endpoint update -n digits --traffic "blue=100 green=0" --target azure'
    )


def test_an_answer_that_never_comes_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    azure = SlowAzure(looks=0)
    made = Traffic(azure, "digits", ["blue", "green"])
    made.set(TENTH)
    azure.looks = 10**9
    monkeypatch.setattr(traffic, "AZURE_RESTORE_SECONDS", 0.0)
    with pytest.raises(NotRestored, match="the endpoint is still being changed"):
        made.restore(made.before)


def test_only_ctrl_c_again_and_again_ends_it() -> None:
    azure = SlowAzure(looks=10**9)
    made = broken_off(azure)
    pressed: list[int] = []

    def press() -> None:
        pressed.append(signal.SIGTERM if len(pressed) < 2 else signal.SIGINT)
        signal.raise_signal(pressed[-1])

    azure.look = press  # type: ignore[method-assign]
    with pytest.raises(NotRestored, match=r"it was broken off\); do it by hand: aml "):
        made.restore(made.before)
    assert pressed == [signal.SIGTERM] * 2 + [signal.SIGINT] * 2


def test_what_others_have_set_meanwhile_is_theirs() -> None:
    azure = SlowAzure(looks=0)
    made = broken_off(azure)
    azure.coming, azure.rules = [], Rules({"blue": 20, "green": 80}, {})
    with pytest.raises(ChangedByOthers, match="green is worse; endpoint digits: somebody else"):
        made.restore(made.before, "green is worse")
    assert azure.asked == [TENTH]


def test_no_signal_is_lost_on_another_thread() -> None:
    """Where handlers cannot be set nothing is done about them."""
    handlers: list[Any] = []

    def look() -> None:
        with uninterrupted():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
