"""The scripts of the workflows, each by itself: every turn they can take, with an `az` that answers from a table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / ".github" / "scripts"


class Machine:
    """Runs a script in a folder of its own. `answers`: what `az` says to a command that begins so, one after the other
    (the last one stays); a number is an exit code."""

    def __init__(self, folder):
        self.folder = folder
        self.answers = {}
        self.summary = folder / "summary.md"
        az = folder / "az"
        az.write_text(f"#!{sys.executable}\n{AZ.format(folder=str(folder))}")
        az.chmod(0o755)

    def run(self, script, *arguments, **environment):
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        surroundings = {
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        surroundings |= {
            "POLL_SECONDS": "0",
            "AZURE_DEFAULTS_WORKSPACE": "mlw",
            "AZURE_DEFAULTS_GROUP": "rg",
            **environment,
        }
        command = [SCRIPTS / script, *arguments]
        return subprocess.run(
            command, env=os.environ | surroundings, capture_output=True, text=True, check=False, timeout=60
        )

    @property
    def asked(self):
        return (self.folder / "asked").read_text()

    @property
    def told(self):
        return self.summary.read_text() if self.summary.exists() else ""


AZ = """
import json, sys
from pathlib import Path
folder = Path({folder!r})
words = " ".join(sys.argv[1:])
with (folder / "asked").open("a") as file:
    file.write(words + "\\n")
answers = json.loads((folder / "answers.json").read_text())
begin = max((key for key in answers if words.startswith(key)), key=len, default=None)
if begin is None:
    sys.exit(0)
count = folder / begin.replace("/", "-")
turn = int(count.read_text()) if count.exists() else 0
count.write_text(str(turn + 1))
answer = answers[begin][min(turn, len(answers[begin]) - 1)]
if isinstance(answer, list):
    print(answer[1], file=sys.stderr)
    sys.exit(answer[0])
print(answer)
"""


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


# ---- follow.sh


def test_a_job_that_completes_is_followed_to_its_end(machine):
    machine.answers = {"ml job show": ["Queued", "Preparing", "Running", "Completed"], "ml job stream": ["epoch 1"]}
    ran = machine.run("follow.sh", "job")
    assert ran.returncode == 0, ran.stderr
    assert "epoch 1" in ran.stdout
    assert "cancel" not in machine.asked


@pytest.mark.parametrize("state", ["Failed", "Canceled"])
def test_a_job_that_ends_otherwise_is_an_error(machine, state):
    machine.answers = {"ml job show": ["Running", state], "ml job stream": [[1, "the job failed"]]}
    ran = machine.run("follow.sh", "job")
    assert ran.returncode == 1
    assert f"::error title={state}::" in ran.stdout


@pytest.mark.parametrize(
    ("job", "steps"),
    [("Queued", ""), ("Preparing", "NotStarted"), ("Running", "Queued\nNotStarted"), ("Running", "Completed\nQueued")],
)
def test_a_job_that_only_waits_is_given_up(machine, job, steps):
    machine.answers = {"ml job show": [job], "ml job list": [steps]}
    ran = machine.run("follow.sh", "job", QUEUE_MINUTES="0")
    assert ran.returncode == 1
    assert "::error title=The queue never moved::" in ran.stdout
    assert "quota" in machine.told
    assert "ml job cancel --name job" in machine.asked


@pytest.mark.parametrize("steps", ["Completed\nRunning", "Finalizing\nQueued", ""])
def test_a_job_that_moves_is_not(machine, steps):
    machine.answers = {"ml job show": ["Running", "Running", "Completed"], "ml job list": [steps]}
    ran = machine.run("follow.sh", "job", QUEUE_MINUTES="0")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cancel" not in machine.asked


def test_the_image_and_the_node_have_a_time_each(machine):
    steps = ["Running\nNotStarted", "Completed\nPreparing", "Completed\nQueued", "Completed\nRunning"]
    machine.answers = {"ml job show": ["Running"] * 4 + ["Completed"], "ml job list": steps}
    ran = machine.run("follow.sh", "job", QUEUE_MINUTES="0")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cancel" not in machine.asked


def test_an_az_that_fails_once_ends_nothing(machine):
    gone = [1, "ERROR: Connection aborted"]
    machine.answers = {"ml job show": ["Running", gone, gone, gone, gone, "Running", gone, "Completed"]}
    ran = machine.run("follow.sh", "job")
    assert ran.returncode == 0, ran.stderr
    assert "cancel" not in machine.asked


def test_an_az_that_fails_and_fails_ends_it(machine):
    machine.answers = {"ml job show": [[1, "ERROR: AADSTS700024"]]}
    outputs = machine.folder / "outputs"
    ran = machine.run("follow.sh", "job", GITHUB_OUTPUT=str(outputs))
    assert ran.returncode == 1
    assert "AADSTS700024" in ran.stderr
    assert outputs.read_text() == "lost=true\n" and "cancel" not in machine.asked


def test_before_the_sign_in_ends_somebody_is_asked_to_sign_in_again(machine):
    machine.answers = {"ml job show": ["Running"], "ml job list": ["Running"]}
    outputs = machine.folder / "outputs"
    ran = machine.run("follow.sh", "job", FOLLOW_MINUTES="0", GITHUB_OUTPUT=str(outputs))
    assert (ran.returncode, outputs.read_text()) == (0, "again=true\n")
    assert "cancel" not in machine.asked


# ---- look.sh


@pytest.mark.parametrize(
    ("labels", "assets", "path"),
    [
        ("azureml://datastores/x/paths/labels.jsonl", "digits-labels", "azureml://datastores/x/paths/labels.jsonl"),
        ("", "digits-labels", "azureml:digits-labels@latest"),
        ("", "", None),
    ],
)
def test_labels_are_taken_from_where_they_are(machine, labels, assets, path):
    machine.answers = {"ml data list": [assets]}
    ran = machine.run("look.sh", "job", LABELS=labels, GITHUB_EVENT_NAME="workflow_dispatch")
    assert ran.returncode == 0, ran.stderr
    [line] = [line for line in machine.asked.splitlines() if line.startswith("ml job create")]
    assert line.startswith("ml job create --file aml/pipelines/monitoring.yml --name job --set ")
    assert ("jobs.monitor.inputs.labels" in line) == bool(path)
    if path:
        assert f" jobs.monitor.inputs.labels.type=uri_file jobs.monitor.inputs.labels.path={path} " in line


def test_an_endpoint_of_another_name_is_looked_at(machine):
    machine.answers = {"ml online-endpoint list --query [?name=='digits-7'].name": ["digits-7"]}
    ran = machine.run("look.sh", "job", GITHUB_EVENT_NAME="schedule", AZURE_ENDPOINT="digits-7")
    assert ran.returncode == 0, ran.stderr
    assert "inputs.endpoint=digits-7" in machine.asked


def test_what_is_asked_for_is_looked_at_without_an_endpoint(machine):
    assert machine.run("look.sh", "job", GITHUB_EVENT_NAME="workflow_dispatch").returncode == 0
    assert "ml job create" in machine.asked and "online-endpoint" not in machine.asked


@pytest.mark.parametrize(
    ("answer", "code", "looked"),
    [
        ("digits", 0, True),
        ("WARNING: in preview\ndigits", 0, True),
        ("", 0, False),
        ("digits-old", 0, False),
        ([1, "ERROR: (ResourceGroupNotFound) rg could not be found"], 0, False),
        ([1, "ERROR: (AuthorizationFailed) no"], 1, False),
    ],
)
def test_by_the_clock_an_endpoint_is_looked_for(machine, answer, code, looked):
    machine.answers = {"ml online-endpoint list": [answer]}
    ran = machine.run("look.sh", "job", GITHUB_EVENT_NAME="schedule")
    assert ran.returncode == code
    assert ("ml job create" in machine.asked) == looked
    assert ("nothing new to look at" in machine.told) == (code == 0 and not looked)
    assert code == 0 or "AuthorizationFailed" in ran.stderr


# ---- report.py


def test_a_job_that_nobody_follows_any_more_is_canceled(machine):
    job = {
        "status": "Running",
        "services": {"Studio": {"endpoint": "https://ml.azure.com/runs/job?wsid=/subscriptions/x"}},
    }
    machine.answers = {"ml job show": [json.dumps(job)]}
    assert machine.run("report.py", "job", "verdict").returncode == 0
    assert "ml job cancel --name job" in machine.asked
    assert "Nobody followed it any more" in machine.told
    assert "[Job `job`](https://ml.azure.com/runs/job)" in machine.told
    assert "subscriptions" not in machine.told


def test_a_job_that_could_not_be_asked_goes_on(machine):
    machine.answers = {"ml job show": [json.dumps({"status": "Running", "services": None})]}
    assert machine.run("report.py", "job", "verdict", LOST="true").returncode == 0
    assert "cancel" not in machine.asked
    assert "it goes on" in machine.told


@pytest.mark.parametrize("status", ["Failed", "CancelRequested"])
def test_a_job_that_is_over_is_left_alone(machine, status):
    machine.answers = {"ml job show": [json.dumps({"status": status, "services": None})]}
    assert machine.run("report.py", "job", "verdict").returncode == 0
    assert "cancel" not in machine.asked
    assert f"### Training: {status}\n\nJob `job`" in machine.told


@pytest.mark.parametrize(("registered", "output"), [(True, "version=3\n"), (False, "")])
def test_only_a_registered_model_is_named_for_deployment(machine, registered, output):
    verdict = {"registered": registered, "reason": "measured", "model_name": "digits", "version": 3, "accuracy": 0.98}
    verdict |= {"champion_accuracy": None, "mcnemar_p": None}
    (machine.folder / "verdict.json").write_text(json.dumps(verdict))
    machine.answers = {"ml job show": [json.dumps({"status": "Completed"})]}
    # What the job's output would be downloaded to is the folder that holds the verdict already.
    (machine.folder / "sitecustomize.py").write_text(
        "import contextlib, tempfile\n"
        f"tempfile.TemporaryDirectory = lambda: contextlib.nullcontext({str(machine.folder)!r})\n"
    )
    outputs = machine.folder / "outputs"
    outputs.touch()
    ran = machine.run("report.py", "job", "verdict", PYTHONPATH=str(machine.folder), GITHUB_OUTPUT=str(outputs))
    assert ran.returncode == 0, ran.stderr
    assert outputs.read_text() == output


def test_a_retraining_is_measured_on_both_hands():
    verdict = {"registered": True, "reason": "measured", "model_name": "digits", "version": 3, "accuracy": 0.98}
    verdict |= {"champion_accuracy": 0.97, "mcnemar_p": None, "accuracy_new": 0.91, "champion_accuracy_new": 0.3}
    show = f"import report; print(*report.told({verdict!r}), sep='\\n')"
    told = subprocess.run([sys.executable, "-c", show], cwd=SCRIPTS, capture_output=True, text=True, check=True).stdout
    assert "| accuracy on the new hand | 91.00% |\n| champion's on it | 30.00% |" in told


def test_a_report_that_cannot_be_made_is_an_error_of_one_line(machine):
    machine.answers = {"ml job show": [[1, "ERROR: no"]]}
    ran = machine.run("report.py", "job", "verdict")
    assert (ran.returncode, ran.stderr) == (1, "ERROR: no\n")
    assert "::error title=No report::az ml job show" in ran.stdout


# ---- teardown.sh


def endpoint(name, changed="2026-01-01T00:00:00"):
    return f"{name}\t/subscriptions/x/{name}\t{changed}"


def test_the_idle_go_and_the_others_stay(machine):
    machine.answers = {
        "ml online-endpoint list": [
            "\n".join([endpoint("old"), endpoint("new", "9999-01-01"), endpoint("odd", "unknown")])
        ],
        "monitor metrics list --resource /subscriptions/x/old": ["0"],
    }
    ran = machine.run("teardown.sh", "idle", "24")
    assert ran.returncode == 0, ran.stderr
    assert "online-endpoint delete --name old" in machine.asked
    assert machine.asked.count("delete") == 1
    assert machine.told.count("kept") == 2


@pytest.mark.parametrize("answer", [["3"], [[1, "(AuthorizationFailed)"]]])
def test_an_endpoint_that_may_be_in_use_stays(machine, answer):
    machine.answers = {"ml online-endpoint list": [endpoint("old")], "monitor metrics list": answer}
    ran = machine.run("teardown.sh", "idle", "24")
    assert ran.returncode == (0 if answer == ["3"] else 1)
    assert "delete" not in machine.asked


def test_no_endpoints_are_no_error(machine):
    assert machine.run("teardown.sh", "idle", "1").returncode == 0
    assert "delete" not in machine.asked


@pytest.mark.parametrize("hours", ["", "0", "-1", "a day", "1.5"])
def test_hours_are_checked(machine, hours):
    ran = machine.run("teardown.sh", "idle", hours)
    assert ran.returncode == 2
    assert f"hours must be a whole number above 0, not '{hours}'" in ran.stdout


def test_only_a_missing_workspace_is_nothing_to_do(machine):
    machine.answers = {"ml workspace show": [[1, "ERROR: (ResourceNotFound) it was not found"]]}
    assert machine.run("teardown.sh", "everything").returncode == 0
    assert "nothing to take down" in machine.told
    machine.answers = {"ml workspace show": [[1, "ERROR: (AuthorizationFailed) no"]]}
    ran = machine.run("teardown.sh", "everything")
    assert ran.returncode == 1
    assert "AuthorizationFailed" in ran.stderr
    assert "delete" not in machine.asked


def test_a_vault_that_cannot_be_purged_is_told(machine):
    machine.answers = {"ml workspace show": ["/subscriptions/x/vaults/kv"], "keyvault purge": [[1, "protected"]]}
    assert machine.run("teardown.sh", "everything").returncode == 0
    assert "Key Vault `kv` could not be purged" in machine.told
    assert "workspace delete --name mlw --permanently-delete --yes" in machine.asked


def test_the_argument_is_checked(machine):
    assert machine.run("teardown.sh").returncode == 2
