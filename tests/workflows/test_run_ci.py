"""`ci`, run here: that it calls the Makefile and uses amlocal, and is green without a secret."""

import pytest
from tests.workflows.conftest import jobs, run_steps


def commands(log: str) -> list[str]:
    """What the copy's stand-ins said that they were asked."""
    return [line.split("| ")[1] for line in log.splitlines() if "| asked: " in line]


def test_ci_calls_the_makefile_and_uses_amlocal(runner):
    # The Makefile and the smoke test of the copy say that they were asked and do nothing; CI itself runs the real ones.
    ran = runner("ci")
    assert ran.green, ran.log
    assert ran.steps >= run_steps("ci")
    asked = commands(ran.log)
    # act runs the jobs at the same time, and the whole matrix on this system
    assert [line for line in asked if " make " in line] == [
        f"asked: make {each}" for each in ("install", "lint", "test")
    ]
    assert [line for line in asked if " smoke" in line] == ["asked: smoke"] * 6


def test_which_pythons_and_systems_amlocal_is_tried_on():
    matrix = jobs("ci")["amlocal"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest"] and matrix["python"] == ["3.11", "3.12", "3.13"]
    others = {(one["os"], one["python"]): one.get("may_fail", False) for one in matrix["include"]}
    assert others == {
        ("macos-latest", "3.13"): False,
        ("windows-latest", "3.13"): False,
        ("ubuntu-latest", "3.14"): True,
    }


@pytest.mark.parametrize(("tag", "green"), [("amlocal-v0.1.0", True), ("amlocal-v0.2.0", False)])
def test_a_release_is_checked_and_published(runner, tag, green):
    runner.program("pipx", 'echo "asked: pipx $*"')
    ran = runner("release", ref=f"refs/tags/{tag}")
    assert ran.green == green, ran.log
    asked = commands(ran.log)
    if green:
        assert asked == [
            "asked: make release-check",
            "asked: pipx run uv==0.13.9 publish --trusted-publishing always dist/*",
        ]
    else:
        assert asked == [], "the version in pyproject.toml is not the tag's"
