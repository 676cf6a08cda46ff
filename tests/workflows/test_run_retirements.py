"""`retirements`, run here: an end that is near becomes an issue, once."""

from datetime import UTC, datetime, timedelta

from tests.workflows.conftest import run_steps


def test_an_end_within_half_a_year_becomes_one_issue(runner):
    end = datetime.now(UTC).date() + timedelta(days=100)
    runner.replace("infra/retirements.toml", "until = 2027-10-31", f"until = {end}")
    for _ in range(2):  # the second time it is told already
        ran = runner("retirements", "schedule", schedule="23 5 1 * *")
        assert ran.green, ran.log
        assert ran.steps >= run_steps("retirements")
    titles = [issue["title"] for issue in runner.issues if str(end) in issue["title"]]
    assert titles == [f"Python 3.11: jobs, endpoints, workflows: the end is announced for {end}"]
    [issue] = [issue for issue in runner.issues if str(end) in issue["title"]]
    assert issue["labels"] == [{"name": "retirement"}]
    assert "- `aml/environments/training/conda.yml:" in issue["body"]
    assert "Nothing ends within half a year that is not told already." in ran.log
