"""What counts as the same answer, and what as worse: the arithmetic of a rollout."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from amlocal.rollout import compare
from amlocal.rollout.answers import decode, difference, selector
from amlocal.rollout.compare import Answer, Limits, Names, Pair
from amlocal.rollout.steps import TrafficStep, parse_steps
from amlocal.rollout.traffic import Rules, mirrored, shifted

NAMES = Names("blue", "green")
LIMITS = Limits()


@pytest.mark.parametrize(
    ("now", "new", "said"),
    [
        # a classifier: its classes count, how sure it is does not
        (
            {"predictions": [7], "probabilities": [[0.1, 0.9]]},
            {"predictions": [7], "probabilities": [[0.4, 0.6]]},
            None,
        ),
        ({"predictions": [7]}, {"predictions": [1]}, "predictions[0] is 1, not 7"),
        ({"label": "cat", "score": 0.9}, {"label": "cat", "score": 0.55}, None),
        ({"label": "cat", "score": 0.9}, {"label": "dog", "score": 0.9}, 'label is "dog", not "cat"'),
        ({"spam": True, "score": 0.9}, {"spam": False, "score": 0.4}, "spam is false, not true"),
        # one that tells probabilities only: the largest counts
        ([[0.2, 0.8], [0.7, 0.3]], [[0.4, 0.6], [0.9, 0.1]], None),
        ([[0.2, 0.8]], [[0.6, 0.4]], "[0] is largest at 0, not at 1"),
        # a regressor: numbers within a tenth
        ({"predictions": [3.42, 100.0]}, {"predictions": [3.51, 94]}, None),
        ({"predictions": [3.42]}, {"predictions": [5.1]}, "predictions[0] is 5.1, not 3.42"),
        ({"value": 3.4, "unit": "m"}, {"value": 9.9, "unit": "m"}, "value is 9.9, not 3.4"),
        ([0.3], [0.9], "[0] is 0.9, not 0.3"),
        ([0.0], [0], None),
        # the shape counts, and so does the type
        ([1, 2], [1], "the answer has 1 items, not 2"),
        ({"a": 1}, {"b": 1}, "a is in one answer only"),
        ({"a": {"b": None}}, {"a": {"b": 1}}, "a.b is 1, not null"),
        ([1], ["1"], '[0] is "1", not 1'),
        ([True], [1], "[0] is 1, not true"),
        ([float("nan")], [float("nan")], None),
        ([float("nan")], [1.0], "[0] is 1.0, not NaN"),
        ([float("inf")], [float("inf")], None),
    ],
)
def test_what_is_the_same_answer(now, new, said):
    assert difference(now, new) == said


def test_a_json_text_inside_json_is_read_and_another_text_is_itself():
    assert decode('{"a": 1}') == decode('"{\\"a\\": 1}"') == {"a": 1}
    assert decode("plain") == decode('"plain"') == "plain"


def test_only_what_is_selected_is_compared():
    select = selector("predictions")
    assert select({"predictions": [7], "by": "blue"}) == [7]
    assert selector(None)("all") == "all"


def pair(now=1.0, new=1.0, *, request="a", now_error=None, new_error=None, difference=None, again=True):
    answers = [
        Answer(took, None if error else "1", error, busy=(error or "").startswith("429"))
        for took, error in ((now, now_error), (new, new_error))
    ]
    return Pair(request, *answers, difference, again=bool(new_error) and again)


def named(*pairs):
    """Each of a request of its own."""
    return [replace(each, request=f"{n}.json") for n, each in enumerate(pairs)]


GOOD = pair()
BROKEN = pair(request="b", new_error="424 no")
FLAKY = pair(new_error="424 no", again=False)
BUSY = pair(new_error="429 busy")
BOTH = pair(now_error="424 no", new_error="424 no")
BLUE = pair(now_error="424 no")
BLUE_BUSY = pair(now_error="429 busy")
OTHER = pair(request="c", difference="x is 1, not 2")


@pytest.mark.parametrize(
    ("pairs", "limits", "said"),
    [
        (named(*[GOOD] * 9, BROKEN), LIMITS, "green failed 1 of 10 requests that blue answered; 9.json: 424 no"),
        (
            named(BROKEN, BROKEN),
            Limits(errors=1),
            "green failed 2 of 2 requests that blue answered (--max-errors allows 1); 0.json: 424 no",
        ),
        (named(BROKEN), Limits(errors=1), None),
        ([BROKEN] * 4, Limits(errors=1), None),  # one request, in every step
        (named(GOOD, BOTH), LIMITS, None),
        (named(BROKEN, BLUE), LIMITS, None),
        (named(BROKEN, BROKEN, BLUE), LIMITS, "green failed 2 of 2 requests that blue answered; 0.json: 424 no"),
        # what it answers when it is asked again is bad luck, six times; more often it is a fault
        (named(*[FLAKY] * 6, GOOD), LIMITS, None),
        (
            named(*[FLAKY] * 7, GOOD),
            LIMITS,
            "green failed 7 of 8 times, and then answered (blue 0); 0.json: 424 no",
        ),
        (named(*[FLAKY] * 7, *[BLUE] * 3), LIMITS, None),
        (named(*[FLAKY] * 7), Limits(errors=7), None),
        # who has the traffic is busy: first blue, then green
        (named(*[BLUE_BUSY] * 5, *[BUSY] * 5), LIMITS, None),
        (named(*[BLUE_BUSY] * 5, *[BUSY] * 6), LIMITS, "green failed 6 of 6 requests that blue answered; 5.json: 429"),
        (named(*[BLUE_BUSY] * 5, BROKEN), LIMITS, "green failed 1 of 1 request that blue answered; 5.json: 424 no"),
    ],
)
def test_errors(pairs, limits, said):
    told = compare.failing(pairs, limits, NAMES)
    assert told is None if said is None else told.startswith(said)


def test_two_that_are_just_as_flaky_are_hardly_ever_called_different():
    """Each fails one in 400, and answers when it is asked again; or one in 20."""
    chosen = random.Random(7)

    def go_back(rate: float) -> bool:
        pairs = []
        for number in range(400):
            now, new, again = (chosen.random() < rate for _ in range(3))
            error = "424 no"
            pairs.append(pair(request=str(number % 100), now_error=now and error, new_error=new and error, again=again))
            if new and not now and compare.failing(pairs, LIMITS, NAMES):
                return True
        return False

    assert sum(go_back(1 / 400) for _ in range(200)) <= 3
    assert sum(go_back(1 / 20) for _ in range(100)) <= 12


def test_a_blue_that_answers_nothing_is_no_reason_to_keep_it():
    assert compare.worse([BLUE] * 10, LIMITS, NAMES) is None
    assert compare.worse([BLUE] * 10 + [BOTH] * 10, LIMITS, NAMES) is None


def test_one_that_answers_next_to_nothing_has_not_shown_anything():
    wrong_format = named(*[BOTH] * 99, GOOD)
    told = compare.worse(wrong_format, LIMITS, NAMES)
    assert told == "green answered 1 of 100 times (blue 1); 0.json: 424 no"


def test_a_blue_that_answers_nothing_has_no_figures():
    assert compare.figures([BLUE] * 10, NAMES)["disagreement"] is None


def test_other_answers():
    """100 requests of which 9 are answered otherwise are not rare where 5 are allowed (1 in 16); 10 are (1 in 35)."""
    assert compare.worse(named(*[OTHER] * 9, *[GOOD] * 91), LIMITS, NAMES) is None
    assert compare.worse(named(*[OTHER] * 10, *[GOOD] * 90), LIMITS, NAMES) == (
        "green answers otherwise than blue to 10 of 100 requests (10 %; --max-disagreement allows 5 %);"
        " 0.json: x is 1, not 2"
    )
    assert compare.worse(named(OTHER, GOOD), LIMITS, NAMES), "where there are hardly any, each counts"
    assert compare.worse(named(OTHER, *[GOOD] * 99), Limits(disagreement=0), NAMES)
    assert compare.worse([OTHER], Limits(disagreement=1), NAMES) is None


def test_a_request_counts_once_however_often_it_was_asked():
    ten = named(OTHER, *[GOOD] * 9)
    assert compare.disagreeing(ten * 40, LIMITS, NAMES) is None
    steps = named(*[GOOD] * 20), named(*[OTHER] * 4, *[GOOD] * 16)
    assert "to 4 of 20 requests" in compare.worse(steps[1], LIMITS, NAMES, steps[0]), "its last answer counts"


@pytest.mark.parametrize(
    ("now", "new", "said"),
    [
        (100.0, 149.0, None),
        (
            100.0,
            160.0,
            "green is slower: 160.0 ms where blue takes 100.0 ms (median of 20 requests);"
            " --max-slowdown 1.5 allows 150.0 ms",
        ),
        (1.0, 5.9, None),
        (
            1.0,
            7.0,
            "green is slower: 7.0 ms where blue takes 1.0 ms (median of 20 requests); --max-slowdown 1.5 allows 6.0 ms",
        ),
    ],
)
def test_slowness_has_two_bounds(now, new, said):
    assert compare.slower([pair(now, new)] * 20, LIMITS, NAMES) == said


def test_slowness_at_its_slowest():
    some = [pair(1.0, 90.0 if i % 10 == 0 else 1.0) for i in range(100)]
    assert "90.0 ms where blue takes 1.0 ms (95th percentile of 100 requests)" in compare.slower(some, LIMITS, NAMES)
    both = [pair(*((90.0, 1.0) if i % 20 == 0 else (1.0, 90.0) if i % 20 == 10 else (1.0, 1.0))) for i in range(100)]
    assert compare.slower(both, LIMITS, NAMES) is None, "blue is as slow as often"


def test_who_bears_the_load_may_be_as_slow_as_the_other_was_when_it_did():
    idle = [pair(2.0, 60.0)] * 20
    assert "green is slower: 60.0 ms where blue takes 2.0 ms" in compare.slower(idle, LIMITS, NAMES)
    assert compare.slower(idle, LIMITS, NAMES, before=[55.0] * 20) is None
    assert "60.0 ms where blue took 30.0 ms (median" in compare.slower(idle, LIMITS, NAMES, before=[30.0] * 20)


def test_one_bad_moment_is_not_slowness():
    moment = [pair(2.0, 60.0)] * 12 + [pair(2.0, 2.0)] * 12
    assert compare.slower(moment, LIMITS, NAMES) is None
    assert compare.slower([pair(2.0, 60.0)] * 20, LIMITS, NAMES, early=True)


def test_two_that_are_the_same_are_hardly_ever_called_different():
    """On a busy machine: a tenth of the answers takes many times as long, in bursts."""
    chosen = random.Random(7)
    called = 0
    for _ in range(300):
        busy, pairs = False, []
        for _ in range(100):
            busy = chosen.random() < (0.8 if busy else 0.03)
            now, new = (chosen.lognormvariate(0.7, 0.3) * (chosen.uniform(1, 30) if busy else 1) for _ in "12")
            pairs.append(pair(now, new))
        called += any(compare.slower(pairs[:count], LIMITS, NAMES) for count in (20, 40, 60, 80, 100))
    assert called <= 3


def test_chance_is_the_binomial_s():
    assert compare.chance(7, 0) == pytest.approx(1 / 128)
    assert compare.chance(2, 1) == pytest.approx(0.5)
    assert compare.chance(0, 0) == 1
    assert compare.tail(1, 1, 0.05) == pytest.approx(0.05)
    assert compare.tail(10, 100, 0.05) == pytest.approx(0.0282, abs=1e-4)
    assert [compare.tail(least, 4, share) for least, share in ((1, 0), (0, 0), (4, 1))] == [0, 1, 1]
    assert compare.chance(5_100, 4_900) == pytest.approx(0.0233, abs=1e-3)


def test_quantiles_are_values_that_were_seen():
    assert [compare.quantile([3, 1, 2, 4], share) for share in (0.5, 0.95)] == [2, 4]
    assert compare.quantile([5], 0.95) == 5


def test_the_others_keep_their_proportions_in_whole_numbers():
    before = Rules({"blue": 60, "red": 33, "green": 7}, {"grey": 5})
    for share in range(1, 101):
        live = shifted(before, "green", share).live
        assert sum(live.values()) == 100 and live["green"] == share
        assert abs(live.get("blue", 0) - (100 - share) * 60 / 93) < 1
    assert shifted(before, "green", 10).mirror == {"grey": 5}
    assert shifted(before, "green", 100).live == {"green": 100}
    assert mirrored(before, "grey", 10) == Rules(before.live, {"grey": 10})
    assert shifted(Rules({}, {"green": 10}), "green", 100) == Rules({"green": 100}, {})


def test_steps_are_read():
    assert parse_steps(["mirror", "10", "50%", "100"]) == [
        TrafficStep(10, True),
        TrafficStep(10),
        TrafficStep(50),
        TrafficStep(100),
    ]
    assert parse_steps(["mirror=20,30"]) == [TrafficStep(20, True), TrafficStep(30)]
    assert all(a.share < b.share for a, b in pairwise(parse_steps(["1 2 3"])))
