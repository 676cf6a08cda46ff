"""The traffic rules of one endpoint: read, set in steps, and put back as they were, by the client's ordinary calls."""

import itertools
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from amlocal.core.errors import UserError

RESTORE_SECONDS = 120.0
# An endpoint of Azure that is being changed refuses the next change until it is done; a new deployment takes its time.
AZURE_RESTORE_SECONDS = 1800.0
PAUSE_SECONDS = 2.0
GIVES_UP = 2  # the Ctrl-C, of those that come while the traffic is put back, that ends it


class ChangedByOthers(UserError):
    """The traffic is not what we have set, so it is not ours to set any more."""


class NotRestored(UserError):
    """The traffic could not be put back; the message has the command to type."""


@dataclass(frozen=True)
class Rules:
    """Percentages by deployment, as Azure has them: live sums to 100, or is empty; mirror is one deployment's at most.

    Deployments without a share are left out.
    """

    live: Mapping[str, int]
    mirror: Mapping[str, int]

    def __str__(self) -> str:
        live = " ".join(f"{name}={share}" for name, share in self.live.items()) or "none"
        return live + "".join(f", mirrored {name}={share}" for name, share in self.mirror.items())


def _shares(traffic: Mapping[str, Any] | None) -> dict[str, int]:
    return {name: int(share) for name, share in sorted((traffic or {}).items()) if int(share)}


def shifted(before: Rules, to: str, share: int) -> Rules:
    """`share` percent for `to`; the others keep their proportions, in whole numbers. Pure."""
    others = {name: each for name, each in before.live.items() if name != to}
    total, left = sum(others.values()), 100 - share
    exact = {name: left * each / total for name, each in others.items()} if total else {}
    live = {name: int(each) for name, each in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (live[name] - exact[name], name))
    for name in by_remainder[: left - sum(live.values())]:
        live[name] += 1
    live[to] = share
    mirror = {name: each for name, each in before.mirror.items() if name != to}
    return Rules(_shares(live), mirror)


def mirrored(before: Rules, to: str, share: int) -> Rules:
    """A copy of `share` percent of the live traffic for `to`; Azure mirrors to one deployment only. Pure."""
    return Rules(before.live, {to: share})


class Traffic:
    """What an endpoint's rules were when this was made, and what we have made of them.

    flags: what a command needs at its end to reach this endpoint, with a space before it.
    """

    def __init__(self, client: Any, name: str, deployments: Sequence[str], flags: str = "") -> None:
        self._endpoints = client.online_endpoints
        self._name = name
        self._flags = flags
        self._deployments = {each.lower(): each for each in deployments}
        self.before = self.now = self._rules(self._endpoints.get(name))
        self._tried = self.now  # may hold, after a change that we did not see the end of

    def check(self) -> None:
        """Raises ChangedByOthers if the rules are not those that we have set."""
        self._check(self._rules(self._endpoints.get(self._name)), self.now)

    def set(self, rules: Rules) -> None:
        """Raises ChangedByOthers, and whatever the client raises."""
        endpoint = self._endpoints.get(self._name)
        self._check(self._rules(endpoint), self.now)
        if rules != self.now:
            self._tried = rules
            self._put(endpoint, rules)
            self.now = rules

    def restore(self, rules: Rules, reason: str | None = None) -> None:
        """Go back to these rules, whatever it takes: a failure is tried again, and only Ctrl-C again and again ends it.

        Raises ChangedByOthers or NotRestored, with the reason for going back.
        """
        local = hasattr(self._endpoints, "describe")
        deadline = time.monotonic() + (RESTORE_SECONDS if local else AZURE_RESTORE_SECONDS)
        because = f"{reason}; " if reason else ""
        try:
            with uninterrupted(until=GIVES_UP):
                self._restore(rules, deadline)
        except ChangedByOthers as error:
            raise ChangedByOthers(f"{because}{error}") from None
        except (Exception, KeyboardInterrupt) as error:
            why = "it was broken off" if isinstance(error, KeyboardInterrupt) else error
            raise NotRestored(
                f"{because}endpoint {self._name}: its traffic could not be put back ({why}); do it by hand:"
                f" {self.command(rules)}"
            ) from error

    def _restore(self, rules: Rules, deadline: float) -> None:
        while True:
            try:
                endpoint = self._endpoints.get(self._name)
                found = self._rules(endpoint)
                # A change that we did not see the end of may come yet, whatever the endpoint says now.
                if found != rules or self._tried != self.now:
                    self._check(found, self.now, self._tried, rules)
                    self._put(endpoint, rules, deadline)
                self.now = self._tried = rules
                return
            except ChangedByOthers:
                raise
            except Exception:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE_SECONDS)

    def command(self, rules: Rules) -> str:
        """The command that sets these rules."""
        live = _with_zeros(rules.live, {**self.now.live, **self._tried.live})
        mirror = _with_zeros(rules.mirror, {**self.now.mirror, **self._tried.mirror})
        mirrored = f' --mirror-traffic "{mirror}"' if mirror else ""
        return f'aml online-endpoint update -n {self._name} --traffic "{live}"{mirrored}{self._flags}'

    def _rules(self, endpoint: Any) -> Rules:
        """What the endpoint says. Azure's client sends all names in lower case, whatever the deployments are called."""
        return Rules(*(self._named(each) for each in (endpoint.traffic, endpoint.mirror_traffic)))

    def _named(self, traffic: Mapping[str, Any] | None) -> dict[str, int]:
        return _shares({self._deployments.get(name.lower(), name): each for name, each in (traffic or {}).items()})

    def _put(self, endpoint: Any, rules: Rules, deadline: float = math.inf) -> None:
        """Raises TimeoutError at the deadline (time.monotonic()), and whatever the client raises."""
        endpoint.traffic, endpoint.mirror_traffic = dict(rules.live), dict(rules.mirror)
        poller = self._endpoints.begin_create_or_update(endpoint)
        poller.wait(None if deadline == math.inf else max(deadline - time.monotonic(), 0))
        if not poller.done():
            raise TimeoutError("the endpoint is still being changed")
        poller.result()

    def _check(self, found: Rules, *ours: Rules) -> None:
        if found not in ours:
            raise ChangedByOthers(
                f"endpoint {self._name}: somebody else has changed its traffic to {found} (we had set {ours[0]}); it is"
                " left as it is, and the rollout ends here"
            )


def _with_zeros(shares: Mapping[str, int], others: Mapping[str, int]) -> str:
    return " ".join(f"{name}={shares.get(name, 0)}" for name in sorted({*shares, *others}))


@contextmanager
def uninterrupted(until: float = math.inf) -> Iterator[None]:
    """Ctrl-C and a polite kill wait, until Ctrl-C has come this often. Only the main thread gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    came = itertools.count(1)

    def wait(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and next(came) >= until:
            raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, wait) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
