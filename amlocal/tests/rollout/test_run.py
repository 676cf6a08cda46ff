"""A rollout that guards itself: on a running endpoint, to deployments good and bad; no client may notice."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from amlocal.cli import main
from amlocal.client import LocalMLClient
from amlocal.core.errors import UserError
from amlocal.down import down
from amlocal.operations.common import entity
from amlocal.rollout import probes
from amlocal.rollout.compare import Limits
from amlocal.rollout.run import Options, Rollout, State
from amlocal.rollout.steps import parse_steps
from amlocal.rollout.traffic import ChangedByOthers

SCRIPT = """
import json, os, time

def init(): pass

def run(raw_data):
    x = json.loads(raw_data)["x"]
    how = os.environ["HOW"]
    if x == -1 or (how == "broken" and x % 10 == 3):
        raise ValueError(f"cannot do {x}")
    if how == "slow":
        time.sleep(0.03)
    if how == "deadly" and x == 15:
        os._exit(1)
    told = {"probabilities": [0.2 + len(how) / 100, 0.8 - len(how) / 100], "seconds": time.time() % 1}
    return {"predictions": [x % 7 if how == "other" and x % 5 == 0 else x]} | told
"""
KINDS = ("blue", "good", "broken", "slow", "other", "deadly")


class Served:
    """The endpoint of this file, its deployments named after what is wrong with them."""

    name = "digits"

    def __init__(self, client: LocalMLClient, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.port = client.online_endpoints.store.get(self.name).port

    def traffic(self, mirror: dict[str, int] | None = None, **shares: int) -> None:
        endpoint = self.client.online_endpoints.get(self.name)
        endpoint.traffic, endpoint.mirror_traffic = shares, mirror or {}
        self.client.online_endpoints.begin_create_or_update(endpoint).result()

    @property
    def shares(self) -> tuple[dict[str, int], dict[str, int]]:
        spec = self.client.online_endpoints.store.get(self.name).spec
        return spec["traffic"], spec["mirror_traffic"]

    def requests(self, *xs: int) -> list[probes.Request]:
        return [probes.Request(f"{x}.json", json.dumps({"x": x}).encode()) for x in xs or range(40)]

    def rollout(self, to: str, *xs: int, **options: Any) -> dict[str, Any]:
        chosen = Options(**{"probes": 40, "seconds": 0.0} | options)
        return Rollout(self.client, self.name, to, chosen, print).run(self.requests(*xs))

    @contextmanager
    def asked(self, *xs: int) -> Iterator[Counter[int]]:
        """A client that asks the endpoint all the while; the statuses it got."""
        key = self.client.online_endpoints.credentials(self.name)["primaryKey"]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        statuses: Counter[int] = Counter()
        over = threading.Event()

        def ask() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            while not over.is_set():
                for x in xs:
                    connection.request("POST", "/score", json.dumps({"x": x}), headers)
                    response = connection.getresponse()
                    response.read()
                    statuses[response.status] += 1
                    over.wait(0.005)  # not more than what a slow one can bear
            connection.close()

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield statuses
        finally:
            over.set()
            thread.join()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("rollout")
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCRIPT)
    client = LocalMLClient(folder / "my work" / ".amlocal")
    try:
        client.online_endpoints.begin_create_or_update(
            entity("online-endpoint", {"name": "digits", "auth_mode": "key"})
        )
        for name in KINDS:
            spec = {
                "name": name,
                "endpoint_name": "digits",
                "code_configuration": {"code": str(folder / "code"), "scoring_script": "score.py"},
                "environment": {"image": "python:3.11"},
                "environment_variables": {"HOW": name},
                "instance_type": "Standard_DS1_v2",
                "instance_count": 1,
                "request_settings": {"max_concurrent_requests_per_instance": 20},
                "data_collector": {"collections": {"request": {"enabled": "true"}}} if name == "blue" else None,
            }
            client.online_deployments.begin_create_or_update(
                entity("online-deployment", {key: value for key, value in spec.items() if value})
            )
        yield Served(client, folder)
    finally:
        down(client.workspace)


@pytest.fixture
def served(made: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setenv("AMLOCAL_HOME", str(made.client.workspace.root))
    monkeypatch.delenv("AML_TARGET", raising=False)
    made.traffic(blue=100)
    return made


# -- how it ends


def test_a_good_one_gets_all_the_traffic_and_no_client_notices(served: Served) -> None:
    with served.asked(1, 2) as statuses:
        result = served.rollout("good")
    assert (result["verdict"], result["reason"]) == ("succeeded", None)
    assert [step["step"] for step in result["steps"]] == ["mirror 10 %", "10 %", "50 %", "100 %"]
    assert [step["traffic"] for step in result["steps"][1:]] == [
        {"blue": 90, "good": 10},
        {"blue": 50, "good": 50},
        {"good": 100},
    ]
    assert result["steps"][0]["mirror_traffic"] == {"good": 10}
    assert all(step["errors"] == {"blue": 0, "good": 0} and step["disagreement"] == 0 for step in result["steps"])
    assert result["steps"][0]["median_ms"]["good"] > 0
    assert result["traffic"] == {"blue": 0, "good": 100}
    assert served.shares == ({"good": 100}, {})
    assert statuses.keys() == {200}


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        ("broken", "at mirror 10 %: broken failed 1 of 4 requests that blue answered; 3.json: 424 "),
        ("slow", "at mirror 10 %: slow is slower: "),
        (
            "other",
            "at mirror 10 %: other answers otherwise than blue to 6 of 40 requests (15 %; --max-disagreement",
        ),
        ("deadly", "at mirror 10 %: deadly failed 1 of 16 requests that blue answered; 15.json: "),
    ],
)
def test_a_worse_one_goes_back_with_the_reason(served: Served, to: str, reason: str) -> None:
    with served.asked(1, 2) as statuses:
        result = served.rollout(to)
    assert result["verdict"] == "went back" and result["reason"].startswith(reason), result["reason"]
    assert len(result["steps"]) == 1
    assert served.shares == ({"blue": 100}, {})
    assert statuses.keys() == {200}, "what is mirrored is nobody's answer"


def test_the_reason_says_what_is_otherwise(served: Served) -> None:
    assert "10.json: predictions[0] is 3, not 10" in served.rollout("other")["reason"]
    assert served.rollout("other", limits=Limits(disagreement=0.2))["verdict"] == "succeeded"


def test_it_goes_back_from_any_step_and_the_others_have_what_they_had(served: Served) -> None:
    served.traffic({"slow": 20}, blue=70, good=30)
    result = served.rollout("broken", *range(4, 14), probes=5, steps=parse_steps(["10"]))
    assert "at 10 %: broken failed 1 of 10" in result["reason"]
    assert [step["traffic"] for step in result["steps"]] == [
        {"blue": 70, "good": 30},
        {"blue": 63, "good": 27, "broken": 10},
    ]
    assert served.shares == ({"blue": 70, "good": 30}, {"slow": 20})


def test_one_that_has_a_share_already_goes_on_from_there(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.traffic(blue=90, good=10)
    result = served.rollout("good")
    assert [step["step"] for step in result["steps"]] == ["10 %", "50 %", "100 %"]
    assert "mirror 10 %: left out" in capsys.readouterr().out


def test_a_worse_one_keeps_no_share_that_it_had(served: Served, aml: "Aml", folder: str) -> None:
    """As after a rollout that was killed at its second step, or in its mirror."""
    served.traffic(blue=60, good=30, broken=10)
    code, out, err = aml("--to", "broken", "-r", folder, "-o", "json")
    assert code == 1 and json.loads(out)["traffic"] == {"blue": 67, "broken": 0, "good": 33}
    assert "digits went back to blue=67 good=33 (it began with blue=60 broken=10 good=30): at " in err
    assert served.shares == ({"blue": 67, "good": 33}, {})
    served.traffic({"broken": 10}, blue=100)
    assert served.rollout("broken")["verdict"] == "went back"
    assert served.shares == ({"blue": 100}, {})


def test_what_blue_cannot_do_either_is_not_its_fault(served: Served) -> None:
    result = served.rollout("good", 1, -1, 2, 3)
    assert result["verdict"] == "succeeded"
    assert result["steps"][0]["errors"] == {"blue": 10, "good": 10}


def test_one_that_answers_nothing_has_not_shown_anything(served: Served) -> None:
    result = served.rollout("good", -1)
    assert "good answered none of 40 times (blue 0); -1.json: 424" in result["reason"]


def test_it_may_fail_more_if_that_is_wanted(served: Served) -> None:
    result = served.rollout("broken", limits=Limits(errors=4))
    assert result["verdict"] == "succeeded" and result["steps"][0]["errors"] == {"blue": 0, "broken": 4}


def test_a_rehearsal_leaves_the_traffic_as_it_is(served: Served) -> None:
    result = served.rollout("good", steps=parse_steps(["mirror=50"]))
    assert (result["verdict"], result["traffic"]) == ("succeeded", {"blue": 100, "good": 0})
    assert served.shares == ({"blue": 100}, {})


def test_a_share_that_is_not_all_stays(served: Served) -> None:
    result = served.rollout("good", steps=parse_steps(["10"]))
    assert result["traffic"] == {"blue": 90, "good": 10}
    assert [step["step"] for step in result["steps"]] == ["0 %", "10 %"], "without a mirror it is asked first"
    assert served.shares == ({"blue": 90, "good": 10}, {})


@pytest.mark.parametrize(("to", "shares"), [("good", {"good": 100}), ("broken", {})])
def test_the_first_has_nothing_to_be_compared_with(served: Served, to: str, shares: dict[str, int]) -> None:
    served.traffic()
    result = served.rollout(to)
    assert served.shares == (shares, {})
    if to == "broken":
        assert result["reason"].startswith("at 0 %: broken failed 1 of 4 requests that it was asked; 3.json: 424")
    else:
        assert [step["step"] for step in result["steps"]] == ["0 %", "100 %"]


# -- what happens meanwhile


def during(served: Served, condition: Callable[[], bool], then: Callable[[], object]) -> threading.Thread:
    """Do something as soon as something is so."""

    def wait() -> None:
        deadline = time.monotonic() + 60
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.01)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_change_by_somebody_else_is_seen_and_left_alone(served: Served) -> None:
    other = during(served, lambda: served.shares[0].get("good") == 10, lambda: served.traffic(blue=80, good=20))
    with pytest.raises(ChangedByOthers, match="somebody else has changed its traffic to blue=80 good=20"):
        served.rollout("good", seconds=4.0, steps=parse_steps(["mirror", "10", "50"]))
    other.join()
    assert served.shares == ({"blue": 80, "good": 20}, {})


def test_one_whose_process_dies_goes_back(served: Served) -> None:
    def kill() -> None:
        run = served.client.online_endpoints.store.run(served.name)
        os.kill(json.loads(next(run.glob("good-*.json")).read_text())["pid"], signal.SIGKILL)

    killer = during(served, lambda: bool(served.shares[1]), kill)
    result = served.rollout("good", seconds=20.0, limits=Limits(errors=1000))
    killer.join()
    assert "good's process has died 1 time since the rollout began" in result["reason"]
    assert served.shares == ({"blue": 100}, {})


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        (State("Succeeded", restarts=0, revision=2), "at mirror 10 %: good was replaced since the rollout began"),
        (State("Updating", restarts=3, revision=1), "at mirror 10 %: good is Updating: somebody changes it"),
        (State("Succeeded", restarts=2, revision=1), None),
    ],
)
def test_one_that_is_replaced_meanwhile_goes_back(
    served: Served, monkeypatch: pytest.MonkeyPatch, later: State, reason: str | None
) -> None:
    states = iter([State("Succeeded", restarts=3, revision=1)])
    monkeypatch.setattr(Rollout, "_state", lambda rollout: next(states, later))
    told = served.rollout("good", steps=parse_steps(["mirror"]))["reason"]
    assert (told or "").startswith(reason or "") and bool(told) == bool(reason)
    assert served.shares == ({"blue": 100}, {})


def test_the_revision_is_that_of_what_runs(served: Served) -> None:
    rollout = Rollout(served.client, served.name, "good", Options())
    plan = served.client.online_deployments.store.deployment("good", served.name).plans[-1]
    assert rollout._state().revision == plan.revision > 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_interrupted_it_goes_back(served: Served, tmp_path: Path, number: int, code: int) -> None:
    (tmp_path / "one.json").write_text('{"x": 1}')
    words = ["online-endpoint", "rollout", "-n", "digits", "--to", "good", "-r", str(tmp_path), "--step-seconds", "3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "amlocal", *words, "--steps", "10"], stdout=subprocess.PIPE, text=True
    )
    during(served, lambda: served.shares[0].get("good") == 10, lambda: process.send_signal(number)).join()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert out.endswith(
        "digits: broken off; its traffic goes back to blue=100; Ctrl-C twice more leaves it as it is\n"
        "digits: its traffic is as it was\n"
    )
    assert served.shares == ({"blue": 100}, {})


def test_what_the_client_raises_does_not_leave_it_half_way(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = served.client.online_endpoints
    change = operations.begin_create_or_update
    calls: list[Any] = []

    def sometimes(endpoint: Any) -> Any:
        calls.append(endpoint)
        if len(calls) in (2, 3):  # the second step, which has been made all the same; and the first try to go back
            if len(calls) == 2:
                change(endpoint)
            raise OSError("connection lost")
        return change(endpoint)

    monkeypatch.setattr("amlocal.rollout.traffic.PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(operations, "begin_create_or_update", sometimes)
    with pytest.raises(OSError, match="connection lost"):
        served.rollout("good", steps=parse_steps(["10", "50"]))
    assert len(calls) == 4
    assert served.shares == ({"blue": 100}, {})


def test_traffic_that_cannot_be_put_back_is_told_with_the_command(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = served.client.online_endpoints
    change = operations.begin_create_or_update

    def once(endpoint: Any) -> Any:
        monkeypatch.setattr(operations, "begin_create_or_update", lambda endpoint: 1 / 0)
        return change(endpoint)

    monkeypatch.setattr("amlocal.rollout.traffic.RESTORE_SECONDS", 0.0)
    monkeypatch.setattr(operations, "begin_create_or_update", once)
    with pytest.raises(UserError) as told:
        served.rollout("broken")
    assert str(told.value).startswith("at mirror 10 %: broken failed 1 of 4")
    command = 'aml online-endpoint update -n digits --traffic "blue=100" --mirror-traffic "broken=0"'
    assert str(told.value).endswith(f"do it by hand: {command}")


# -- the command


class Aml:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = main(["online-endpoint", "rollout", "-n", "digits", "--probes", "20", "--step-seconds", "0", *words])
        return code, *self._capsys.readouterr()


@pytest.fixture
def aml(served: Served, capsys: pytest.CaptureFixture[str]) -> Aml:
    return Aml(capsys)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "requests").mkdir()
    for x in range(10):
        (tmp_path / "requests" / f"{x}.json").write_text(json.dumps({"x": x}))
    return str(tmp_path / "requests")


def test_it_tells_every_step_and_what_may_follow(aml: Aml, folder: str) -> None:
    code, out, err = aml("--to", "good", "-r", folder)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "digits: good is to take over from blue; traffic blue=100; requests: 10"
    assert [line.partition(":")[0] for line in lines[1:5]] == ["mirror 10 %", "10 %", "50 %", "100 %"]
    assert lines[1].startswith("mirror 10 %: 20 probes, errors 0 (0), median ")
    assert lines[5:] == [
        "digits: good has 100 % of the traffic",
        'To go back: aml online-endpoint update -n digits --traffic "blue=100 good=0"',
        "blue stays, with 0 %; to delete it: aml online-deployment delete -n blue -e digits --yes",
    ]
    assert aml("--to", "good", "-r", folder) == (0, "digits: good has all the traffic already; nothing to do.\n", "")


def test_going_back_is_exit_code_1_one_line_and_all_the_figures(aml: Aml, folder: str) -> None:
    code, out, err = aml("--to", "broken", "-r", folder, "-o", "json")
    result = json.loads(out)
    assert code == 1
    assert err.splitlines()[-1] == f"ERROR: digits went back to blue=100: {result['reason']}"
    assert result["verdict"] == "went back" and result["traffic"] == {"blue": 100, "broken": 0}
    assert result["steps"][0]["errors"] == {"blue": 0, "broken": 1}


def test_without_files_it_asks_what_was_recorded(served: Served, aml: Aml) -> None:
    with served.asked(1, 2, 3, 4) as statuses:
        while statuses.total() < 8:
            time.sleep(0.01)
    code, out, err = aml("--to", "good", "--steps", "mirror")
    assert code == 0, err
    count = int(out.splitlines()[0].rpartition(" ")[2])
    assert count >= 4
    assert out.endswith("digits: good has 0 % of the traffic, as before: it was a rehearsal.\n")
    assert len(probes.recorded(served.client, "digits", "blue")) == count, "probes are no requests of users"
    code, out, err = aml("--to", "good", "--steps", "mirror")
    assert f"; requests: {count}\n" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--to none -r {}", 'endpoint digits has no deployment "none"; it has blue, good, broken, slow, other, deadly'),
        ("--to good -r nothing", "--request-file nothing: cannot be read"),
        ("--to good -r {}/broken.txt", "broken.txt: not JSON"),
        ("--to good -r {} --compare a[", "--compare a[: not JMESPath"),
        ("--to good -r {} --compare nothing", "--compare nothing: finds nothing in blue's answer"),
        ("--to good -r {} --steps 50 10", "--steps 50 10: 10 % after 50 %"),
        ("--to good -r {} --steps mirror=60", "--steps mirror=60: a step is"),
        ("--to good -r {} --steps 101", "--steps 101: a step is"),
    ],
)
def test_mistakes_are_one_line(served: Served, aml: Aml, folder: str, words: str, said: str) -> None:
    Path(folder, "broken.txt").write_text("{")
    code, _, err = aml(*words.format(folder).split())
    assert code == 1
    assert err.count("\n") == 1 and err.startswith("ERROR: ") and said in err, err
    assert served.shares == ({"blue": 100}, {})


@pytest.mark.parametrize("given", ["5", "1.01", "-0.1"])
def test_a_share_of_more_than_one_is_refused(aml: Aml, folder: str, given: str) -> None:
    code, _, err = aml("--to", "good", "-r", folder, "--max-disagreement", given)
    assert code == 2
    assert given in err
    if given == "5":
        assert "5 is not a share from 0 to 1; 5 % is 0.05" in err


def test_one_that_is_not_well_is_refused(served: Served, aml: Aml, folder: str) -> None:
    store = served.client.online_endpoints.store

    def fail(endpoint: Any) -> None:
        endpoint.deployments["good"].state = "Failed"

    def mend(endpoint: Any) -> None:
        endpoint.deployments["good"].state = "Succeeded"

    store.change("digits", fail)
    try:
        code, _, err = aml("--to", "good", "-r", folder)
    finally:
        store.change("digits", mend)
    assert code == 1 and "deployment good is not well: Failed; nothing was changed" in err
