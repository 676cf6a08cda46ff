"""`drift_issue.py` by itself: what looks at the data lead to on GitHub, with a `gh` that keeps it."""

import json

import pytest
from tests.workflows.monitored import Repository, change, verdict


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def test_a_drift_becomes_an_issue_that_says_what_to_do(repository):
    seen = verdict(change("2026-03-02", "2026-03-20")) | {"most_unlike": ["digits-7", "digits-9", "[x](y)"]}
    ran = repository.look(seen, "monitor-5-1")
    assert (ran.returncode, ran.stderr) == (0, "")
    [issue] = repository.issues
    assert issue["title"] == "Drift: Other digits came and stayed"
    assert issue["labels"] == [{"name": "drift"}]
    for text in (
        "**Other digits came and stayed.** Label some of what was collected.",
        "| 2026-03-02 | 2026-03-02 | it stands (2026-03-20) | thinner, harder to read | `knn` |",
        "| once in 120,000 requests |",
        "1,200 requests were looked at. Nobody has labelled any",
        "[Job `monitor-5-1`](https://ml.azure.com/runs/monitor-5-1)",
        "az ml job download --name monitor-5-1 --output-name monitoring",
        "Most unlike the normal ones: `digits-7`, `digits-9`.",
        "az ml data create --name digits-labels --type uri_file --path labels.jsonl",
    ):
        assert text in issue["body"]
    assert repository.started == []


def test_the_same_drift_is_told_once(repository):
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    before = repository.heard
    # It goes on, and where it began is estimated anew: in the end later than all that was known when it was told.
    for first, last in (("2026-03-03", "2026-03-21"), ("2026-03-10", "2026-03-25"), ("2026-03-22", "2026-03-28")):
        assert repository.look(verdict(change(first, last))).returncode == 0
        assert repository.heard == before
    [issue] = repository.issues
    assert '"last": "2026-03-28"' in issue["body"]
    written = repository.written
    repository.look(verdict(change("2026-03-22", "2026-03-28")))
    assert repository.written == written, "nothing new is not noted"


def test_another_drift_is_a_comment_while_the_issue_is_open(repository):
    first = change("2026-03-02", "2026-03-20", ended=True)
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    for _ in range(2):  # the second time it is known
        repository.look(verdict(first, change("2026-04-01", "2026-04-05", words=["bolder"])))
    [issue] = repository.issues
    [comment] = issue["comments"]
    assert "bolder" in comment["body"]
    assert issue["state"] == "OPEN"


def test_a_drift_that_was_before_what_is_known_is_news_too(repository):
    later = change("2026-03-02", "2026-03-20")
    repository.look(verdict(later))
    repository.look(verdict(change("2026-02-01", "2026-02-05", ended=True, words=["bolder"]), later))
    [issue] = repository.issues
    assert ["bolder" in comment["body"] for comment in issue["comments"]] == [True]


def test_when_it_is_over_the_issue_is_closed_and_stays_so(repository):
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    over = verdict(change("2026-03-02", "2026-03-22", ended=True))
    for _ in range(2):
        repository.look(over)
    [issue] = repository.issues
    assert (issue["state"], issue["stateReason"]) == ("CLOSED", "COMPLETED")
    [comment] = issue["comments"]
    assert comment["body"].startswith("**All clear**: the last odd digits came on 2026-03-22.")


def test_a_model_that_has_learnt_it_is_an_all_clear_too(repository):
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    repository.look(verdict())
    [issue] = repository.issues
    assert issue["state"] == "CLOSED"
    assert (
        "nothing in what was collected differs from what the latest model was tested on" in issue["comments"][0]["body"]
    )


def test_what_came_and_went_between_two_looks_is_told_and_closed(repository):
    for _ in range(2):
        repository.look(verdict(change("2026-03-02", "2026-03-03", ended=True)))
    [issue] = repository.issues
    assert issue["state"] == "CLOSED"
    assert "What to do: label some of them" in issue["body"]


def test_after_an_all_clear_a_new_drift_is_a_new_issue(repository):
    first = change("2026-03-02", "2026-03-22", ended=True)
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    repository.look(verdict(first))
    repository.look(verdict(first, change("2026-05-01", "2026-05-05")))
    assert [issue["state"] for issue in repository.issues] == ["CLOSED", "OPEN"]


def test_a_drift_that_was_told_to_be_over_and_is_not_is_news(repository):
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    repository.look(verdict(change("2026-03-02", "2026-03-22", ended=True)))
    repository.look(verdict(change("2026-03-02", "2026-03-30")))
    assert [issue["state"] for issue in repository.issues] == ["CLOSED", "OPEN"]


def test_who_closes_the_issue_by_hand_has_peace(repository):
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    (repository.folder / "issues.json").write_text(json.dumps([repository.issues[0] | {"state": "CLOSED"}]))
    before = repository.heard
    repository.look(verdict(change("2026-03-02", "2026-03-21")))
    assert repository.heard == before


def test_no_drift_is_no_issue(repository):
    ran = repository.look(verdict(accuracy=0.99))
    assert ran.returncode == 0
    assert "Nothing to tell" in ran.stdout
    assert repository.written == []


def test_a_drift_with_labels_starts_a_retraining(repository):
    seen = verdict(change("2026-03-02", "2026-03-20", accuracy=0.31), accuracy=0.9)
    for job in ("monitor-1", "monitor-2"):
        repository.look(seen, job)
    assert repository.started == ["workflow run train.yml --ref main --raw-field drift=monitor-1"]
    [issue] = repository.issues
    assert "a retraining is started" in issue["body"] and "digits-labels" not in issue["body"]
    assert "of those with a label 90.00% were read right" in issue["body"]


def test_labels_that_come_later_start_it_then(repository):
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    assert repository.started == []
    # Of other digits only, or of too few: no help.
    for labels in ({"accuracy": None, "labelled": 0}, {"accuracy": 0.3, "labelled": 39}):
        repository.look(verdict(change("2026-03-02", "2026-03-21", **labels), accuracy=0.99))
        assert repository.started == []
    for day in ("22", "23"):
        repository.look(verdict(change("2026-03-02", f"2026-03-{day}", accuracy=0.3), accuracy=0.9), f"monitor-{day}")
    assert repository.started == ["workflow run train.yml --ref main --raw-field drift=monitor-22"]
    [issue] = repository.issues
    assert [comment["body"].partition(":")[0] for comment in issue["comments"]] == ["The labels are there"]


def test_labels_that_come_after_it_is_over_start_it_too(repository):
    repository.look(verdict(change("2026-03-02", "2026-03-03", ended=True)))
    repository.look(verdict(change("2026-03-02", "2026-03-03", ended=True, accuracy=0.3), accuracy=0.9))
    assert len(repository.started) == 1
    assert [issue["state"] for issue in repository.issues] == ["CLOSED"]


def test_a_retraining_that_could_not_be_started_is_red_and_tried_again(repository):
    seen = verdict(change("2026-03-02", "2026-03-20", accuracy=0.3), accuracy=0.9)
    repository.broken = "workflow run"
    ran = repository.look(seen)
    assert ran.returncode == 1
    assert "::error title=Not told::gh workflow run failed" in ran.stdout
    assert ran.stderr == ""
    repository.broken = "nothing"
    assert repository.look(seen).returncode == 0
    assert len(repository.started) == 1
    assert len(repository.issues) == 1


def test_names_in_a_verdict_are_no_markdown(repository):
    odd = "@somebody <!-- --> [x](https://example.com) | a"
    repository.look(verdict(change("2026-03-02", "2026-03-20", words=[odd])) | {"headline": odd})
    [issue] = repository.issues
    assert "@" not in issue["body"] and "](https://example" not in issue["body"]
    assert issue["body"].count("<!--") == 1


def test_a_headline_that_is_too_long_for_a_title_is_cut(repository):
    repository.look(verdict(change("2026-03-02", "2026-03-20")) | {"headline": "odd digits " * 50})
    assert [len(issue["title"]) for issue in repository.issues] == [250]


def test_what_an_issue_remembers_has_an_end(repository):
    told = [
        {"first": f"{year}-01-01", "last": f"{year}-01-02", "ended": True, "retrained": False}
        for year in range(1700, 2026)
    ]
    repository.look(verdict(change("2026-03-02", "2026-03-20")))
    [issue] = repository.issues
    kept = issue["body"].replace("monitor: [", f"monitor: [{json.dumps(told)[1:-1]}, ")
    (repository.folder / "issues.json").write_text(json.dumps([issue | {"body": kept}]))
    repository.look(verdict(change("2026-03-02", "2026-03-21")))
    [issue] = repository.issues
    assert issue["body"].count('"first"') == 200
    assert '"last": "2026-03-21"' in issue["body"] and '"1700-01-01"' not in issue["body"]


def test_the_issue_of_somebody_else_is_not_ours(repository):
    others = {"number": 1, "title": "x", "body": "<!-- monitor: [] -->", "state": "OPEN", "stateReason": ""}
    others |= {"labels": [{"name": "drift"}], "comments": [], "author": {"is_bot": False, "login": "somebody"}}
    (repository.folder / "issues.json").write_text(json.dumps([others]))
    repository.look(verdict())
    assert repository.written == []


def test_without_a_verdict_it_is_red(repository):
    ran = repository.look(None)
    assert ran.returncode == 1
    assert "::error title=No verdict::" in ran.stdout


def test_a_webhook_is_told_once_and_what_it_does_changes_nothing(repository, listener):
    seen = verdict(change("2026-03-02", "2026-03-20"))
    listener.status = 403
    ran = repository.look(seen, webhook=listener.url)
    assert (ran.returncode, len(repository.issues)) == (0, 1)
    assert ran.stderr == "Warning: the webhook was not told of the alarm: it answered 403\n"
    repository.look(seen, webhook=listener.url)
    assert [heard["event"] for _, _, heard in listener.heard] == ["alarm"]


def test_a_webhook_that_is_no_address_is_a_warning(repository):
    ran = repository.look(verdict(change("2026-03-02", "2026-03-20")), webhook="ftp://somewhere")
    assert (ran.returncode, len(repository.issues)) == (0, 1)
    assert "::warning title=Webhook::the secret DRIFT_WEBHOOK is no http:// or https:// address" in ran.stdout
    assert "ftp://" not in ran.stdout + ran.stderr
