"""The arithmetic of quota, against Microsoft's own examples and against answers as Azure really gives them."""

import pytest

from amlocal.azure.quota import DEDICATED, LOW_PRIORITY, Limit, Need, Size, check, fitting, limits_of, rollout, sizes_of

DS1 = Size("Standard_DS1_v2", "standardDSv2Family", 1)
DS3 = Size("Standard_DS3_v2", "standardDSv2Family", 4)
F4 = Size("Standard_F4s_v2", "standardFSv2Family", 4)


@pytest.mark.parametrize(
    ("size", "instances", "cores"),
    [
        (DS3, 10, 48),  # the example of the documentation
        (DS1, 2, 3),
        (DS1, 1, 2),
        (F4, 1, 8),
        (F4, 5, 24),  # 1.2 x 5 is 6, not 6.000000000000001
        (Size("Standard_NC24ads_A100_v4", "standardNCADSA100v4Family", 24), 1, 24),
        (Size("Standard_NC80adis_H100_v5", "standardNCADSH100v5Family", 80), 2, 160),
        (Size("Standard_ND96amsr_A100_v4", "standardNDAMSv4A100Family", 96), 1, 96),
        (Size("Standard_ND96asr_v4", "standardNDASv4_A100Family", 96), 1, 96),
        (Size("Standard_ND40rs_v2", "standardNDv2Family", 40), 1, 40),
        (Size("Standard_ND96isr_H100_v5", "standardNDSH100v5Family", 96), 1, 96),
        (Size("Standard_NC4as_T4_v3", "standardNCASv3_T4Family", 4), 1, 8),  # a GPU alone exempts nobody
    ],
    ids=str,
)
def test_cores_of_a_managed_deployment(size: Size, instances: int, cores: int) -> None:
    assert Need(size, instances, managed=True).cores == cores


def test_a_cluster_takes_what_its_nodes_have() -> None:
    assert Need(F4, 3, managed=False).cores == 12


def limits(family: int, region: int, used: int = 0) -> list[Limit]:
    return [Limit("standardFSv2Family", used, family), Limit(DEDICATED, used, region), Limit(LOW_PRIORITY, 0, 3)]


def test_the_tightest_limit_decides() -> None:
    assert check(Need(F4, 1, managed=True), limits(8, 8)).fits
    assert not check(Need(F4, 1, managed=True), limits(8, 7)).fits
    assert not check(Need(F4, 1, managed=True), limits(7, 8)).fits
    assert not check(Need(F4, 1, managed=True), limits(8, 8, used=1)).fits
    assert check(Need(F4, 1, managed=False), limits(4, 6)).fits


def test_low_priority_counts_against_its_own_total_only() -> None:
    finding = check(Need(F4, 1, managed=False, low_priority=True), limits(99, 99))
    assert (finding.left, finding.fits, [limit.name for limit in finding.limits]) == (3, False, [LOW_PRIORITY])


def test_what_would_fit_instead_and_what_to_ask_for() -> None:
    need = Need(F4, 2, managed=True)  # 3 machines, 12 cores
    finding = check(need, limits(10, 20, used=2))
    assert (finding.need.cores, finding.left, finding.largest_count) == (12, 8, 1)
    assert finding.asked == [("standardFSv2Family", 14)]
    room = [Limit("standardDSv2Family", 0, 6), *limits(0, 6)]
    assert fitting(need, [DS1, DS3, F4], room) == [DS1]  # of DS3 one instance would take eight
    assert check(Need(DS1, 9, managed=True), room).largest_count == 5


def test_blue_and_green_are_rounded_up_one_by_one() -> None:
    room = [Limit("standardDSv2Family", 0, 6), Limit(DEDICATED, 0, 6)]
    both = rollout(Need(DS1, 2, managed=True), room)  # 3 + 3, not ceil(1.2 x 4) = 5
    assert (both.need.cores, both.fits) == (6, True)
    assert not rollout(Need(DS1, 3, managed=True), room).fits


def test_usage_as_azure_answers_it() -> None:
    found = limits_of(
        [
            {"name": {"value": "StandardFSv2Family"}, "currentValue": 2, "limit": 6},  # as azure-ai-ml leaves it
            {"name": {"localizedValue": "Total cluster dedicated regional vCPUs"}, "limit": -1, "current_value": None},
            {
                "name": {"localized_value": "Standard DSv2 Family Cluster Dedicated vCPUs"},
                "limit": 4,
                "currentValue": 1,
            },
            {"name": None, "limit": 9},
            {"name": {"value": "no limit given"}, "currentValue": 1},
        ]
    )
    assert [limit.left for limit in found] == [4, None, 3]
    finding = check(Need(F4, 1, managed=True), found)
    assert (finding.left, finding.fits, finding.unlisted) == (4, False, ())
    assert finding.asked == [("StandardFSv2Family", 10)]
    assert check(Need(DS1, 1, managed=True), found).left == 3


def test_what_azure_does_not_list_is_left_to_azure() -> None:
    finding = check(Need(F4, 1, managed=True), [])
    assert finding.fits and finding.left is None and finding.largest_count is None
    assert finding.unlisted == ("standardFSv2Family", DEDICATED)
    assert fitting(Need(F4, 1, managed=True), [F4], []) == []


def test_more_used_than_allowed_leaves_nothing() -> None:
    assert Limit("x", 9, 6).left == 0


def test_sizes_under_either_spelling_and_without_cores() -> None:
    answers = [
        {"name": "Standard_F4s_v2", "family": "standardFSv2Family", "vCPUs": 4},
        {"name": "Standard_DS1_v2", "family": "standardDSv2Family", "v_cp_us": 1},
        {"name": "Standard_X", "family": "x"},
    ]
    assert sizes_of(answers) == [F4, DS1]
