"""The model behind BentoML: `bentoml serve with_bentoml:Digits`."""

from typing import Any

import bentoml
from session import answer


@bentoml.service(workers=1)
class Digits:
    @bentoml.api(route="/score")
    async def score(self, input_data: list[list[float]]) -> dict[str, Any]:
        return answer(input_data)
