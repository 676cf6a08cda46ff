"""`retirements`, run here: an end that is near becomes an issue."""

from datetime import UTC, datetime, timedelta

from tests.workflows.conftest import run_steps


def test_an_end_within_half_a_year_becomes_an_issue(runner):
    end = datetime.now(UTC).date() + timedelta(days=100)
    runner.replace("infra/retirements.toml", "until = 2027-10-31", f"until = {end}")
    ran = runner("retirements", "schedule", schedule="23 5 1 * *")
    assert ran.green, ran.log
    assert ran.steps >= run_steps("retirements")
    [issue] = [issue for issue in runner.issues if str(end) in issue["title"]]
    assert issue["title"] == f"Python 3.11: jobs, endpoints, workflows: the end is announced for {end}"
    assert f"Opened: {issue['title']}" in ran.log
    assert issue["labels"] == [{"name": "retirement"}]
    assert "- `aml/environments/training/conda.yml:" in issue["body"]
