"""Sweeps, parallel and distributed jobs, pipelines inside pipelines: run for real, on this machine."""

from pathlib import Path

import pytest

from amlocal.core.errors import UserError
from amlocal.core.mlflow_store import client as mlflow_client
from amlocal.jobs.record import LOG
from amlocal.specs import load
from amlocal.specs.planner import plan

SWEEP = """
type: sweep
trial:
  command: >-
    python -c "import os; from mlflow import MlflowClient; c = MlflowClient();
    c.log_metric(os.environ['MLFLOW_RUN_ID'], 'loss', (${{search_space.x}} - ${{inputs.best}}) ** 2)"
    && echo ${{search_space.x}} $AZUREML_SWEEP_x > ${{outputs.model}}/x.txt
  environment: {image: a}
inputs: {best: 2}
outputs: {model: {type: uri_folder}}
sampling_algorithm: grid
search_space: {x: {type: choice, values: [1, 2, 5]}}
objective: {goal: minimize, primary_metric: loss}
limits: {max_total_trials: 10, max_concurrent_trials: 2}
"""

# A stand-in for training: it reports a metric step by step, as slowly as its rank is bad, and never ends by itself.
RACE = """
type: sweep
trial:
  code: ./code
  command: python race.py ${{search_space.rank}}
  environment: {image: a}
sampling_algorithm: grid
search_space: {rank: {type: choice, values: [0, 1]}}
objective: {goal: maximize, primary_metric: score}
early_termination: {type: bandit, slack_amount: 0.5, evaluation_interval: 1, delay_evaluation: 1}
limits: {max_total_trials: 2, max_concurrent_trials: 2}
"""

RACE_CODE = """
import os, sys, time
from pathlib import Path
from mlflow import MlflowClient
client, run, rank = MlflowClient(), os.environ["MLFLOW_RUN_ID"], int(sys.argv[1])
flag = Path(os.environ["AMLOCAL_HOME"], "good-has-reported")
while rank and not flag.exists():  # a report is judged once, against those that were there
    time.sleep(0.05)
client.log_metric(run, "score", 1.0 - rank, step=1)
flag.touch()
if rank:
    time.sleep(300)
"""

INNER = """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json
type: pipeline
name: inner
version: 1
inputs:
  text: {type: string}
  rate: {type: number, default: 0.25}
  data: {type: uri_folder, optional: true}
outputs: {made: {type: uri_folder}}
jobs:
  first:
    type: command
    component: ./component.yml
    inputs: {text: "${{parent.inputs.text}}", rate: "${{parent.inputs.rate}}", data: "${{parent.inputs.data}}"}
  second:
    type: command
    component: ./component.yml
    inputs: {text: again, data: "${{parent.jobs.first.outputs.out}}"}
    outputs: {out: "${{parent.outputs.made}}"}
"""

OUTER = """
type: pipeline
inputs: {text: hello}
outputs: {last: {type: uri_folder}}
jobs:
  before:
    type: pipeline
    component: ./inner.yml
    inputs: {text: "${{parent.inputs.text}}"}
  after:
    type: pipeline
    component: ./inner.yml
    inputs: {text: "after ${{parent.inputs.text}}", data: "${{parent.jobs.before.outputs.made}}"}
    outputs: {made: "${{parent.outputs.last}}"}
"""


def log_of(client, name):
    return (client.jobs.store.folder(name) / LOG).read_text()


def test_a_sweep_keeps_the_best_trial(client, spec, run):
    record = run(spec(SWEEP))
    assert record.status == "Completed", record.error
    trials = list(client.jobs.store.steps(record))
    assert [trial.status for trial in trials] == ["Completed"] * 3
    best = next(trial for trial in trials if trial.name == record.properties["best_child_run_id"])
    assert best.properties["x"] == "2" and record.properties["score"] == "0.0"
    assert Path(record.outputs["model"]["path"], "x.txt").read_text() == "2 2\n"
    run_of_best = mlflow_client(client.workspace).get_run(best.run_id)
    assert run_of_best.data.params == {"x": "2"}
    assert run_of_best.data.tags["mlflow.parentRunId"] == record.run_id
    entity = client.jobs.get(record.name)
    assert (entity.type, entity.status) == ("sweep", "Completed")


def test_a_trial_that_falls_behind_is_ended_early(client, spec, run, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "race.py").write_text(RACE_CODE)
    record = run(spec(RACE))
    assert record.status == "Completed", record.error
    good, bad = sorted(client.jobs.store.steps(record), key=lambda trial: trial.properties["rank"])
    assert (good.status, bad.status) == ("Completed", "Canceled")
    assert record.properties["best_child_run_id"] == good.name


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("primary_metric: loss", "primary_metric: los", 'no trial has logged a metric "los"'),
        (
            "echo ${{search_space.x}} $",
            "exit 3; echo ${{search_space.x}} $",
            "every trial failed; the first: exit code 3",
        ),
    ],
)
def test_a_sweep_without_a_result_fails_and_says_why(client, spec, run, wrong, right, message):
    record = run(spec(SWEEP.replace(wrong, right).replace("[1, 2, 5]", "[1]")))
    assert record.status == "Failed" and message in record.error


def test_a_sweep_inside_a_pipeline_feeds_the_next_step(client, spec, run):
    write_trial(spec)
    record = run(
        spec("""
        type: pipeline
        jobs:
          search:
            type: sweep
            trial: ./trial.yml
            search_space: {x: {type: choice, values: [3, 4]}}
            sampling_algorithm: grid
            objective: {goal: maximize, primary_metric: x}
            limits: {max_total_trials: 2, max_concurrent_trials: 2}
          use:
            type: command
            command: cat ${{inputs.model}}/x.txt
            environment: {image: a}
            inputs: {model: "${{parent.jobs.search.outputs.model}}"}
        """)
    )
    assert record.status == "Completed", record.error
    use = next(step for step in client.jobs.store.steps(record) if step.step == "use")
    assert "chose 4" in log_of(client, use.name)


def write_trial(spec):
    return spec(
        """
        type: command
        inputs: {x: {type: integer}}
        outputs: {model: {type: uri_folder}}
        environment: {image: a}
        command: >-
          echo chose ${{inputs.x}} > ${{outputs.model}}/x.txt &&
          python -c "import os; from mlflow import MlflowClient;
          MlflowClient().log_metric(os.environ['MLFLOW_RUN_ID'], 'x', ${{inputs.x}})"
        """,
        "trial.yml",
    )


def test_pipelines_inside_a_pipeline(client, spec, run):
    spec(INNER, "inner.yml")
    record = run(spec(OUTER))
    assert record.status == "Completed", record.error
    below = {step.name.removeprefix(record.name): step for step in client.jobs.store.steps(record)}
    assert set(below) == {
        "_before", "_before_first", "_before_second", "_after", "_after_first", "_after_second",
    }  # fmt: skip
    assert {step.status for step in below.values()} == {"Completed"}
    assert below["_after"].type == "pipeline" and below["_after_first"].parent == below["_after"].name
    said = Path(below["_after_first"].outputs["out"]["path"], "said.txt").read_text()
    assert said.startswith("after hello 0.25 fast from ") and below["_before_second"].outputs["out"]["path"] in said
    assert record.outputs["last"] == below["_after_second"].outputs["out"] == below["_after"].outputs["made"]
    runs = mlflow_client(client.workspace)
    first = runs.get_run(below["_after_first"].run_id)
    assert first.data.tags["mlflow.parentRunId"] == below["_after"].run_id
    assert client.jobs.get(record.name).status == "Completed"


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ('text: "after', 'test: "after', r'jobs.after.inputs: component inner.yml requires an input "text"'),
        ("jobs.before.outputs.made", "jobs.before.outputs.mad", r'has no output "mad"; did you mean "made"'),
        ('outputs: {made: "${{parent.outputs.last}}"}', "", r"outputs.last: no step's output is bound to it"),
        (
            "inputs: {text: hello}",
            "inputs: {text: {type: uri_folder, path: .}}",
            r"component inner.yml wants a string here, not data",
        ),
    ],
)
def test_a_mistake_in_a_pipeline_with_pipelines(bare_client, spec, wrong, right, message):
    spec(INNER, "inner.yml")
    assert wrong in OUTER
    path = spec(OUTER.replace(wrong, right))
    with pytest.raises(UserError, match=message) as caught:
        plan(load("job", path), bare_client.workspace)
    assert "job.yml:" in str(caught.value)


def test_a_registered_component_may_have_pipelines_in_pipelines(bare_client, spec):
    spec(INNER, "inner.yml")
    outer = spec(f"name: outer\nversion: 1\n{OUTER.replace('text: hello', 'text: {type: string}')}", "outer.yml")
    bare_client.components.create_or_update(load("component", outer))
    job = spec("type: pipeline\njobs:\n  a: {type: pipeline, component: azureml:outer:1, inputs: {text: hi}}\n")
    steps = plan(load("job", job), bare_client.workspace).steps
    assert [*steps] == ["a.before.first", "a.before.second", "a.after.first", "a.after.second"]
    assert steps["a.after.first"].inputs["text"].literal == "after hi"
    assert {step.environment["source"] for step in steps.values()} == {str(job)}, "no file that is gone"


@pytest.mark.parametrize(
    ("distribution", "shown"),
    [
        ("{type: pytorch, process_count_per_instance: 2}", "$RANK of $WORLD_SIZE"),
        ("{type: mpi, process_count_per_instance: 2}", "$OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE"),
    ],
)
def test_a_distributed_job_has_a_process_and_a_log_per_rank(client, spec, run, distribution, shown):
    record = run(
        spec(f"""
        type: command
        command: echo rank {shown}
        environment: {{image: a}}
        distribution: {distribution}
        resources: {{instance_count: 2}}
        """)
    )
    assert record.status == "Completed", record.error
    logs = sorted((client.jobs.store.folder(record.name) / "user_logs").glob("std_log_process_*.txt"))
    assert [log.read_text() for log in logs] == [f"rank {rank} of 4\n" for rank in range(4)]


def test_when_one_process_of_a_distributed_job_fails_the_others_end(client, spec, run):
    record = run(
        spec("""
        type: command
        command: test $RANK = 1 && exit 7; sleep 300
        environment: {image: a}
        distribution: {type: pytorch, process_count_per_instance: 3}
        """)
    )
    assert record.status == "Failed" and "exit code 7" in record.error and "std_log_process_1.txt" in record.error


def test_a_parameter_server_does_not_keep_the_job_alive(client, spec, run):
    record = run(
        spec("""
        type: command
        command: |
          if [[ $TF_CONFIG == *'"type": "ps"'* ]]; then sleep 300; fi
        environment: {image: a}
        distribution: {type: tensorflow, worker_count: 2, parameter_server_count: 1}
        """)
    )
    assert record.status == "Completed", record.error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SWEEP.replace("max_total_trials: 10", "max_total_trials: 0"), "limits.max_total_trials: 0: at least 1"),
        (
            "command: ls\nenvironment: {image: a}\ndistribution: {type: pytorch, process_count_per_instance: 0}\n",
            "distribution: process_count_per_instance: 0 is less than 1",
        ),
        (SWEEP.replace("${{inputs.best}}", "${{inputs.best.worst}}"), 'no input is called "best.worst"'),
    ],
)
def test_a_mistake_in_a_sweep_or_a_distribution(bare_client, spec, text, message):
    with pytest.raises(UserError, match=message):
        plan(load("job", spec(text)), bare_client.workspace)


def test_a_command_that_takes_too_long_is_canceled(client, spec, run):
    record = run(spec("command: sleep 300\nenvironment: {image: a}\nlimits: {timeout: 1}\n"))
    assert record.status == "Canceled" and "limits.timeout of 1 s" in record.error


def test_a_parallel_step_reads_every_file_once(client, spec, run, tmp_path):
    (tmp_path / "files").mkdir()
    for number in range(7):
        (tmp_path / "files" / f"{number}.txt").write_text(str(number * number))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "entry.py").write_text(
        "import sys\nfrom pathlib import Path\n"
        "def init():\n    print('ready', sys.argv[1:])\n"
        "def run(mini_batch):\n    return [f'{Path(name).name}={Path(name).read_text()}' for name in mini_batch]\n"
    )
    record = run(
        spec("""
        type: pipeline
        inputs: {files: {type: uri_folder, path: ./files}}
        outputs: {rows: {type: uri_file}}
        jobs:
          score:
            type: parallel
            inputs: {files: "${{parent.inputs.files}}", word: hello}
            outputs: {rows: "${{parent.outputs.rows}}"}
            input_data: ${{inputs.files}}
            mini_batch_size: "2"
            resources: {instance_count: 1}
            max_concurrency_per_instance: 2
            task:
              type: run_function
              code: ./code
              entry_script: entry.py
              program_arguments: --word ${{inputs.word}}
              append_row_to: ${{outputs.rows}}
              environment: {image: a}
        """)
    )
    assert record.status == "Completed", record.error
    rows = Path(record.outputs["rows"]["path"]).read_text().split()
    assert sorted(rows) == [f"{number}.txt={number * number}" for number in range(7)]
    assert client.jobs.get(record.name).jobs["score"].type == "parallel"


PARALLEL = """
type: pipeline
inputs: {files: {type: uri_folder, path: ./files}}
jobs:
  score:
    type: parallel
    inputs: {files: "${{parent.inputs.files}}", word: hello}
    input_data: ${{inputs.files}}
    mini_batch_size: "2"
    task:
      type: run_function
      code: ./code
      entry_script: entry.py
      environment: {image: a}
      program_arguments: >-
        --one
"""


@pytest.fixture
def parallel(spec, tmp_path):
    """A parallel step with an entry script that prints its arguments."""
    for name in ("files", "code"):
        (tmp_path / name).mkdir()
    (tmp_path / "files" / "a.txt").write_text("a")
    (tmp_path / "code" / "entry.py").write_text(
        "import sys\ndef init():\n    print('given', sys.argv[1:])\ndef run(mini_batch):\n    return mini_batch\n"
    )
    return lambda text=PARALLEL: spec(text)


def test_a_parallel_step_with_other_arguments_is_not_reused(client, run, parallel):
    first, same = run(parallel()), run(parallel())
    other = run(parallel(PARALLEL.replace("--one", "--word '${{ inputs.word }} you' $[[--gone ${{inputs.files}}]]")))
    reused = [[step.reused_from is not None for step in client.jobs.store.steps(job)] for job in (first, same, other)]
    assert reused == [[False], [True], [False]]
    (step,) = client.jobs.store.steps(other)
    assert "'--word', 'hello you', '--gone', " in log_of(client, step.name)


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        ("entry.py", "entri.py", "task.entry_script: no such file in the code folder: entri.py"),
        ("--one", "it's", "task.program_arguments: not a command line"),
    ],
)
def test_a_mistake_in_a_parallel_step(bare_client, parallel, wrong, right, message):
    with pytest.raises(UserError, match=message):
        plan(load("job", parallel(PARALLEL.replace(wrong, right))), bare_client.workspace)


def test_a_parallel_steps_script_may_be_named_as_a_module(bare_client, parallel):
    assert plan(load("job", parallel(PARALLEL.replace("entry.py", "entry"))), bare_client.workspace).steps


def test_an_output_with_a_name_becomes_a_data_asset(client, spec, run):
    record = run(
        spec("""
        type: command
        command: echo whole > ${{outputs.made}}/a.txt
        environment: {image: a}
        outputs: {made: {type: uri_folder, name: my-data, version: "3"}}
        """)
    )
    assert record.status == "Completed", record.error
    asset = client.data.describe("my-data", "3")
    assert Path(asset["path"], "a.txt").read_text() == "whole\n"
    read = run(
        spec("""
        type: command
        command: cat ${{inputs.data}}/a.txt
        environment: {image: a}
        inputs: {data: {type: uri_folder, path: "azureml:my-data:3"}}
        """)
    )
    assert "whole" in log_of(client, read.name)


def test_services_are_accepted_with_a_notice(client, spec, run):
    record = run(
        spec("""
        type: command
        command: echo worked
        environment: {image: a}
        services: {my_jupyter: {type: jupyter_lab}}
        """)
    )
    assert record.status == "Completed", record.error
    assert "services (my_jupyter): started in Azure only" in log_of(client, record.name)


def test_additional_includes_lie_beside_the_code(client, spec, run, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text("import shared.words; print(shared.words.SAID)")
    (tmp_path / "common" / "shared").mkdir(parents=True)
    (tmp_path / "common" / "shared" / "words.py").write_text("SAID = 'from beside'")
    spec(
        """
        type: command
        name: with_includes
        version: 1
        code: ./code
        additional_includes: [./common/shared]
        environment: {image: a}
        command: python main.py
        """,
        "with.yml",
    )
    record = run(spec("type: pipeline\njobs: {one: {type: command, component: ./with.yml}}\n"))
    assert record.status == "Completed", record.error
    (step,) = client.jobs.store.steps(record)
    assert "from beside" in log_of(client, step.name)
