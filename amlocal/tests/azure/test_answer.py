"""What a refusal of Azure's reads like: one line, its own words, the name of what was meant."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from amlocal.azure.answer import refusal

WORKSPACE = (
    "https://management.azure.com/subscriptions/s/resourceGroups/g/providers/"
    "Microsoft.MachineLearningServices/workspaces/w"
)


def answered(status: int, body: Any, path: str = "/jobs/j") -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    request = SimpleNamespace(url=f"{WORKSPACE}{path}?api-version=1")
    return SimpleNamespace(status_code=status, reason="Reason", text=lambda: text, request=request)


def test_the_message_without_what_is_added_for_the_service() -> None:
    inner = {"type": "InnerError", "info": {"value": {"code": "BadArgument", "innerError": None}}}
    error = {
        "code": "UserError",
        "message": 'field "code" is\n immutable',
        "details": [],
        "additionalInfo": [inner] * 9,
    }
    assert refusal(answered(400, {"error": error})) == '(UserError) field "code" is immutable'


def test_the_details_say_what_is_wrong() -> None:
    detail = {"code": "RequestInvalid", "message": "Could not find member 'assetVersion'", "details": []}
    error = {"code": "UserError", "message": "Request is invalid.", "details": [detail, detail], "additionalInfo": []}
    told = "(UserError) Request is invalid.; (RequestInvalid) Could not find member 'assetVersion'"
    assert refusal(answered(400, {"error": error})) == told


@pytest.mark.parametrize(
    ("status", "path", "told"),
    [
        (404, "/computes/cpu-cluster", 'compute "cpu-cluster" was not found'),
        (404, "/models/letters/versions/3", 'model "letters", version 3 was not found'),
        (404, "/onlineEndpoints/e/deployments/blue", 'deployment "blue" was not found'),
        (404, "/onlineEndpoints/e", 'online endpoint "e" was not found'),
        (404, "/data/d", 'data "d" was not found'),
        (403, "/computes/c", 'compute "c" may not be accessed'),
        (500, "/computes/c", 'compute "c" was refused: 500 Reason'),
    ],
)
def test_an_empty_answer_names_what_was_asked_for(status: int, path: str, told: str) -> None:
    assert refusal(answered(status, "", path)) == told


@pytest.mark.parametrize("body", ["<html>", "[1]", {"status": "Failed"}, {"error": "x"}])
def test_any_other_answer_is_left_to_the_caller(body: Any) -> None:
    assert refusal(answered(400, body)) is None
