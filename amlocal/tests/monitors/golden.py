"""Two small tables, and what Microsoft's own Spark components say of them.

The values were computed by the unchanged source of Azure/azureml-assets at commit a212de5 (MIT) under PySpark 3.5, from
these rows written as collected JSON lines and read back with `spark.read.json`, as a monitor in Azure reads them.
"""

from collections.abc import Iterator
from typing import Any

Rows = list[dict[str, Any]]


def _uniform(seed: int) -> Iterator[float]:
    """Numbers from 0 to 1 that no version of any library changes (the generator of Numerical Recipes)."""
    state = seed
    while True:
        state = (1664525 * state + 1013904223) % 2**32
        yield state / 2**32


def drift_rows() -> tuple[Rows, Rows]:
    """The reference, 700 rows, and production, 300, which has drifted a little in everything but `constant`."""

    def rows(seed: int, count: int, shift: float, colours: list[str]) -> Rows:
        each = _uniform(seed)
        return [
            {
                "bell": sum(next(each) for _ in range(6)) + shift,
                "whole": int(1000 * next(each) ** (1 + shift)),
                "tenths": round(next(each) * (2 - shift), 1) + 0.0,
                "constant": 5.0,
                "digit": int(10 * next(each) ** (1 + shift)),
                "colour": colours[int(len(colours) * next(each))],
                "size": "small" if next(each) < 0.5 + shift / 2 else "large",
            }
            for _ in range(count)
        ]

    return rows(1, 700, 0.0, ["red", "green", "blue"]), rows(2, 300, 0.25, ["red", "red", "green", "blue", "black"])


def quality_rows() -> tuple[Rows, Rows]:
    """The reference, 200 rows with a null in ten, and production, 120 with all that can be wrong."""
    each = _uniform(3)
    reference: Rows = [
        {
            "clean": next(each),
            "nulls": None if number % 10 == 0 else next(each),
            "whole": number % 150,
            "few": number % 4,
            "words": ["a", "b", "c"][number % 3],
            "words_nulls": None if number % 25 == 0 else "ab"[number % 2],
            "mixed": next(each) * 10,
            "flag": number % 3 == 0,
        }
        for number in range(200)
    ]
    production: Rows = [
        {
            "clean": next(each) * 1.25 - 0.1,
            "nulls": None if number % 4 == 0 else next(each) * 1.1,
            "whole": number * 3 - 20,
            "few": number % 6,
            "words": ["a", "b", "d", "e"][number % 4],
            "words_nulls": None if number % 3 == 0 else "abz"[number % 7 % 3],
            "mixed": "lots" if number % 12 == 5 else "7.5" if number % 12 == 6 else next(each) * 12,
            "flag": number % 2 == 0,
        }
        for number in range(120)
    ]
    return reference, production


# (feature, metric) -> value
DRIFT = {
    ("bell", "jensen_shannon_distance"): 0.17952978610992432,
    ("bell", "normalized_wasserstein_distance"): 0.33865249156951904,
    ("bell", "population_stability_index"): 0.15593236684799194,
    ("bell", "two_sample_kolmogorov_smirnov_test"): 1.5799274478922598e-05,
    ("whole", "jensen_shannon_distance"): 0.14347483217716217,
    ("whole", "normalized_wasserstein_distance"): 0.22826753556728363,
    ("whole", "population_stability_index"): 0.10811175405979156,
    ("whole", "two_sample_kolmogorov_smirnov_test"): 9.647598926676437e-05,
    ("tenths", "jensen_shannon_distance"): 0.24004730582237244,
    ("tenths", "normalized_wasserstein_distance"): 0.19359253346920013,
    ("tenths", "population_stability_index"): 0.37662336230278015,
    ("tenths", "two_sample_kolmogorov_smirnov_test"): 0.021963102743029594,
    ("constant", "jensen_shannon_distance"): 0.0,
    ("constant", "normalized_wasserstein_distance"): 0.0,
    ("constant", "population_stability_index"): 0.0,
    ("constant", "two_sample_kolmogorov_smirnov_test"): 1.0,
    ("digit", "jensen_shannon_distance"): 0.0828489363193512,
    ("digit", "population_stability_index"): 0.036373939365148544,
    ("digit", "pearsons_chi_squared_test"): 0.13087911903858185,
    ("colour", "jensen_shannon_distance"): 0.36728936433792114,
    ("colour", "population_stability_index"): 1.2630751132965088,
    ("colour", "pearsons_chi_squared_test"): 0.0,
    ("size", "jensen_shannon_distance"): 0.0998905822634697,
    ("size", "population_stability_index"): 0.05472012236714363,
    ("size", "pearsons_chi_squared_test"): 5.312128268997185e-05,
}

# column -> null_value_rate, data_type_error_rate, out_of_bounds_rate (None: none is computed)
QUALITY_REFERENCE = {
    "clean": (0.0, 0.0, 0.0),
    "nulls": (0.1, 0.0, 0.0),
    "whole": (0.0, 0.0, 0.0),
    "few": (0.0, 0.0, None),
    "words": (0.0, 0.0, 0.0),
    "words_nulls": (0.04, 0.0, 0.0),
    "mixed": (0.0, 0.0, 0.0),
    "flag": (0.0, 0.0, None),
}
QUALITY = {
    "clean": (0.0, 0.0, 0.25833),
    "nulls": (0.25, 0.0, 0.05833),
    "whole": (0.0, 0.0, 0.58333),
    "few": (0.0, 0.0, None),
    "words": (0.0, 0.0, 0.5),
    "words_nulls": (0.33333, 0.33333, 0.18333),
    "mixed": (0.0, 0.08333, None),
    "flag": (0.0, 0.0, None),
}
FEW_AS_NUMBERS = (0.0, 0.0, 0.33333)  # production's column `few`, overridden to be numerical
