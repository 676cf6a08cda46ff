"""`aml quota`: what a subscription has room for, as Azure's answers tell it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from double import Double

from amlocal.cli import main

PROJECT = Path(__file__).resolve().parents[1] / "project"


@pytest.fixture
def aml(
    double: Double, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Runs `aml`, whose target stays local: quota is about Azure all the same."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("PATH", str(tmp_path))

    def run(line: str, code: int = 0) -> str:
        assert main(line.split()) == code, capsys.readouterr().err
        out, err = capsys.readouterr()
        return out + err

    return run


def test_what_is_left_and_where(aml: Callable[..., str], double: Double) -> None:
    double.resources.allowed_locations = ["westeurope", "spaincentral"]
    said = aml("quota show")
    assert "standardFSv2Family                        6 of 6 left" in said and "standardDAv4Family" not in said
    assert "The subscription may use only these regions: westeurope, spaincentral." in said
    assert "and northeurope is NOT one of them" in aml("quota show --location northeurope")


def test_what_fits_and_what_would_instead(aml: Callable[..., str], double: Double) -> None:
    said = aml("quota check -f aml/endpoints/digits/blue.yml")
    assert said.startswith("Fits: 1 x Standard_DS1_v2 needs 2 cores") and "side by side take 4 cores" in said
    assert sum(request.path.endswith("/vmSizes") for request in double.requests) == 1
    said = aml("quota check --instance-type Standard_F4s_v2", code=3)
    assert said.startswith("Does NOT fit: 1 x Standard_F4s_v2 needs 8 cores")
    assert "One of these would (cores in brackets): Standard_D2as_v4 (2), Standard_DS2_v2 (2)" in said
    assert "Ask support for a limit of 8 on standardFSv2Family in westeurope" in said
    answer = json.loads(aml("quota check -f aml/compute/cpu-cluster.yml -o json"))
    assert (answer["fits"], answer["need"]["cores"], answer["left"]) == (True, 4, 6)


def test_what_cannot_be_found_out_is_another_exit_code(aml: Callable[..., str]) -> None:
    assert "Standard_Nothing: no such size in westeurope" in aml("quota check -t Standard_Nothing", code=1)
    assert "name a deployment, compute or job with --file" in aml("quota check", code=1)
