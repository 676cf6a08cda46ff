"""The rollout itself: step after step, and back when the new deployment is worse.

    rollout = Rollout(client, "my-endpoint", "green", Options(), say=print)
    rollout.run(probes.from_files(["requests/"]))

It uses what LocalMLClient and azure-ai-ml's MLClient share, so it is the same here and in Azure.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from amlocal.core.errors import UserError
from amlocal.rollout import answers, compare
from amlocal.rollout.compare import Answer, Limits, Names, Pair, percent
from amlocal.rollout.probes import Asker, Request
from amlocal.rollout.steps import DEFAULT_STEPS, TrafficStep
from amlocal.rollout.traffic import ChangedByOthers, NotRestored, Rules, Traffic, mirrored, shifted, uninterrupted

LOOK_SECONDS = 2.0  # how often we see whether the traffic is still ours and the new deployment still lives
LEAVE = "; Ctrl-C twice more leaves it as it is"
EARLY = 20  # pairs, after which slowness is looked for before the step is over


@dataclass(frozen=True)
class Options:
    """How to go about it.

    probes: requests in a step, each sent to both deployments. seconds: how long a step lasts at least, its probes
    spread over it. expression: in JMESPath, what of an answer is compared; None: all of it.
    """

    steps: Sequence[TrafficStep] = DEFAULT_STEPS
    probes: int = 100
    seconds: float = 5.0
    limits: Limits = field(default_factory=Limits)
    expression: str | None = None


class State(NamedTuple):
    """How the new deployment is. Only a local one tells of its processes: what ails them, how often they died; and
    how often it was made anew.
    """

    provisioning: str
    problem: str | None = None
    restarts: int = 0
    revision: int = 0

    @property
    def sound(self) -> bool:
        return self.provisioning in ("Succeeded", "Scaling")  # Azure gives it instances, perhaps for its new traffic


class Rollout:
    """One rollout of one endpoint.

    say: gets a line whenever there is something to tell. flags: what the commands that are told need at their end to
    reach the same endpoint, with a space before it.
    Raises UserError, before anything is changed, when there is nothing to roll out or no way to.
    """

    def __init__(
        self,
        client: Any,
        endpoint: str,
        to: str,
        options: Options,
        say: Callable[[str], None] = lambda _: None,
        flags: str = "",
    ) -> None:
        self.client, self.endpoint, self.options, self.say, self.flags = client, endpoint, options, say, flags
        self.select = answers.selector(options.expression)
        client.online_endpoints.get(endpoint)  # its own message, where there is none
        there = [each.name for each in client.online_deployments.list(endpoint)]
        found = next((name for name in there if name.lower() == to.lower()), None)
        if found is None:
            raise UserError(
                f'endpoint {endpoint} has no deployment "{to}"; it has {", ".join(there) or "none"}; make it first:'
                f" aml online-deployment create --file FILE{flags}"
            )
        self.traffic = Traffic(client, endpoint, there, flags)
        before = self.traffic.before
        others = {name: share for name, share in before.live.items() if name != found}
        self.names = Names(max(others, key=lambda name: others[name]) if others else None, found)
        self._state_before = State("Succeeded")
        self._pairs: list[Pair] = []  # of the steps that are over
        self._before: list[float] = []  # milliseconds of the deployment that serves, while it has the traffic
        self._looked = time.monotonic()

    @property
    def done_already(self) -> bool:
        """Whether the deployment has all the traffic."""
        return self.traffic.before.live.get(self.names.new) == 100

    def run(self, requests: Sequence[Request]) -> dict[str, Any]:
        """Go through the steps. {"verdict": "succeeded" or "went back", "reason", "steps", "traffic", ...}

        A new deployment that is worse has no traffic afterwards, whatever it had before; the others share it as before.
        Whatever else happens, an exception or Ctrl-C, the traffic goes back to what it was and the exception goes on.
        Only traffic that somebody else has changed meanwhile is left alone: ChangedByOthers. Raises NotRestored.
        """
        self._require_health()
        result = self._result()
        steps = self._plan()
        now, new = self.names.now, self.names.new
        who = f"{new} is to take over from {now}" if now else f"{new} is to be the first"
        self.say(f"{self.endpoint}: {who}; traffic {self.traffic.before}; requests: {len(requests)}")
        try:
            with Asker(self.client, self.endpoint) as asker:
                reason = self._shift(steps, asker, itertools.cycle(requests), result["steps"])
            if reason:
                self.traffic.restore(shifted(self.traffic.before, new, 0), reason)
            elif self.traffic.now.mirror.get(new):  # a mirror as the last step is a rehearsal
                self.traffic.restore(self.traffic.before)
        except (ChangedByOthers, NotRestored):
            raise
        except BaseException:
            with uninterrupted():
                with suppress(OSError):  # nobody may listen any more
                    self.say(f"{self.endpoint}: broken off; its traffic goes back to {self.traffic.before}{LEAVE}")
                self.traffic.restore(self.traffic.before)
                with suppress(OSError):
                    self.say(f"{self.endpoint}: its traffic is as it was")
            raise
        traffic = dict.fromkeys(self.names.by(0, 0), 0) | dict(self.traffic.now.live)
        return result | {"verdict": "went back" if reason else "succeeded", "reason": reason, "traffic": traffic}

    def _shift(
        self, steps: Sequence[tuple[str, Rules]], asker: Asker, turns: Iterator[Request], told: list[dict[str, Any]]
    ) -> str | None:
        """Go up the steps, adding the figures of each to `told`: why the new deployment is worse, if it is."""
        for name, rules in steps:
            self.traffic.set(rules)
            figures, reason = self._step(asker, turns)
            told.append({"step": name, "traffic": dict(rules.live), "mirror_traffic": dict(rules.mirror), **figures})
            self.say(f"{name}: {_sentence(figures, self.names)}")
            if reason:
                return f"at {name}: {reason}"
        return None

    def nothing_to_do(self) -> dict[str, Any]:
        """The result for a deployment that has all the traffic already."""
        return {**self._result(), "verdict": "nothing to do", "reason": None, "traffic": dict(self.traffic.before.live)}

    def what_next(self) -> list[str]:
        """Lines for somebody whose rollout has succeeded: how it stands, and the commands that may follow."""
        live = self.traffic.now.live
        lines = [f"{self.endpoint}: {self.names.new} has {live.get(self.names.new, 0)} % of the traffic"]
        if self.traffic.now == self.traffic.before:
            return [f"{lines[0]}, as before: it was a rehearsal."]
        lines += [f"To go back: {self.traffic.command(self.traffic.before)}"]
        lines += [
            f"{name} stays, with 0 %; to delete it:"
            f" aml online-deployment delete -n {name} -e {self.endpoint} --yes{self.flags}"
            for name in self.traffic.before.live
            if not live.get(name)
        ]
        return lines

    def _result(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "from": self.names.now,
            "to": self.names.new,
            "traffic_before": dict(self.traffic.before.live),
            "steps": [],
        }

    def _plan(self) -> list[tuple[str, Rules]]:
        """The steps that make sense: what each is called, and the rules it begins with."""
        before, new = self.traffic.before, self.names.new
        if self.names.now is None:
            whole = [("100 %", shifted(before, new, 100))] if self.options.steps[-1] == TrafficStep(100) else []
            return [("0 %", before), *whole]
        has = before.live.get(new, 0)
        plan = []
        for step in self.options.steps:
            if step.mirror and has:
                self.say(f"{step}: left out, Azure mirrors nothing to a deployment that has live traffic ({has} %)")
            elif step.share < has:
                self.say(f"{step}: left out, {new} has {has} % already")
            else:
                rules = (mirrored if step.mirror else shifted)(before, new, step.share)
                plan.append((str(step), before if step.share == has else rules))
        if not plan:
            raise UserError(f"--steps: {new} has {has} % of the traffic already, and no step gives it more")
        asked_first = plan[0][1].live == before.live  # as it is, nobody being sent to the new one yet
        return plan if asked_first else [(f"{has} %", before), *plan]

    def _step(self, asker: Asker, turns: Iterator[Request]) -> tuple[dict[str, Any], str | None]:
        """Ask for as long as the step lasts: its figures, and why the new deployment is worse, if it is.

        Slow it has to be twice, the second time in pairs of its own: queues make a bad moment last.
        """
        limits, names = self.options.limits, self.names
        pairs: list[Pair] = []
        started = time.monotonic()
        to_ask, since, suspected = self.options.probes, 0, False
        reason = None
        while len(pairs) < to_ask and not reason:
            pairs.append(self._probe(asker, next(turns), len(pairs)))
            if not pairs[-1].new.ok:
                reason = compare.failing(self._pairs + pairs, limits, names)
            last = len(pairs) == to_ask
            if last or (len(pairs) - since) % EARLY == 0:
                slow = compare.slower(pairs[since:], limits, names, self._before, early=not last)
                if slow and suspected:
                    reason = reason or slow
                elif slow:
                    suspected, since = True, len(pairs)
                    to_ask += self.options.probes if last else 0
            if not reason:
                reason = self._wait(started + len(pairs) * self.options.seconds / self.options.probes)
        reason = reason or self._look() or compare.worse(pairs, limits, names, self._pairs)
        self._pairs += pairs
        self._before = self._before or compare.times_of_now(pairs)
        seconds = round(time.monotonic() - started, 1)
        return compare.figures(pairs, names) | {"seconds": seconds}, reason

    def _wait(self, until: float) -> str | None:
        """Until it is time for the next probe, looking around now and then; the reason to go back, if one is seen."""
        while True:
            now = time.monotonic()
            if now - self._looked > LOOK_SECONDS and (reason := self._look()):
                return reason
            if now >= until:
                return None
            time.sleep(min(until - now, LOOK_SECONDS))

    def _probe(self, asker: Asker, request: Request, turn: int) -> Pair:
        """Ask both the same, by turns the one or the other first; and once more who may only have had bad luck."""
        if self.names.now is None:
            new = asker.ask(self.names.new, request)
            return Pair(request.name, None, new, again=not new.ok and not asker.ask(self.names.new, request).ok)
        order = [self.names.now, self.names.new][:: 1 if turn % 2 == 0 else -1]
        said = {name: asker.ask(name, request) for name in order}
        now, new = said[self.names.now], said[self.names.new]
        difference = self._difference(now, new)
        if difference and self._difference(now, asker.ask(self.names.now, request)):
            difference = None  # what serves now does not agree with itself
        again = now.ok and not new.ok and not asker.ask(self.names.new, request).ok
        return Pair(request.name, now, new, difference, again)

    def _difference(self, now: Answer, new: Answer) -> str | None:
        if now.text is None or new.text is None:
            return None
        before, after = (self.select(answers.decode(text)) for text in (now.text, new.text))
        if before is None and self.options.expression:
            raise UserError(
                f"--compare {self.options.expression}: finds nothing in {self.names.now}'s answer: {now.text[:80]}"
            )
        return answers.difference(before, after)

    def _look(self) -> str | None:
        """Why the new deployment is not well, if it is not. Raises ChangedByOthers."""
        self.traffic.check()
        told, new = self._state(), self.names.new
        self._looked = time.monotonic()
        if not told.sound:
            return f"{new} is {told.provisioning}: somebody changes it, or it has failed"
        if told.revision != self._state_before.revision:
            return f"{new} was replaced since the rollout began"
        if (died := told.restarts - self._state_before.restarts) > 0:
            return f"{new}'s process has died {died} {'time' if died == 1 else 'times'} since the rollout began"
        return None

    def _require_health(self) -> None:
        told = self._state()
        if not told.sound or told.problem:
            raise UserError(
                f"deployment {self.names.new} is not well: {told.problem or told.provisioning}; nothing was changed;"
                f" see `aml online-deployment get-logs -n {self.names.new} -e {self.endpoint}{self.flags}`"
            )
        self._state_before = told

    def _state(self) -> "State":
        deployments = self.client.online_deployments
        if not hasattr(deployments, "describe"):  # Azure's client
            state = deployments.get(self.names.new, self.endpoint).provisioning_state
            return State(str(getattr(state, "value", state)))
        told = deployments.describe(self.names.new, self.endpoint)
        health = told["health"]
        problem = health["message"] or "no instance is ready" if health["status"] == "Unhealthy" else None
        plans = deployments.store.deployment(self.names.new, self.endpoint).plans
        return State(told["provisioning_state"], problem, health["restarts"], plans[-1].revision if plans else 0)


def _sentence(told: dict[str, Any], names: Names) -> str:
    """A step's figures in a line: the new deployment's, and behind each in brackets the other's."""

    def each(key: str, unit: str = "") -> str:
        new, now = (_shown(told[key].get(name)) for name in (names.new, names.now))
        return f"{new}{unit}" + (f" ({now})" if names.now else "")

    parts = [f"{told['probes']} probes", f"errors {each('errors')}"]
    parts += [f"median {each('median_ms', ' ms')}", f"p95 {each('p95_ms', ' ms')}"]
    if told["disagreement"] is not None:
        parts.append(f"other answers {percent(told['disagreement'])}")
    return ", ".join(parts)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
