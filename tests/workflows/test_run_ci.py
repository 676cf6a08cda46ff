"""`ci`, run here: that it calls the Makefile, and is green without a secret."""

from tests.workflows.conftest import run_steps


def test_ci_calls_the_makefile(runner):
    # The Makefile of the copy says what it was asked and does nothing: what it does in earnest runs in every CI.
    ran = runner("ci")
    assert ran.green, ran.log
    assert ran.steps >= run_steps("ci")
    assert [line.split("| ")[1] for line in ran.log.splitlines() if "| make " in line] == [
        "make install",
        "make lint",
        "make test",
    ]
