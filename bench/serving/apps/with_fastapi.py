"""The model behind FastAPI: `uvicorn with_fastapi:app`."""

from fastapi import FastAPI
from pydantic import BaseModel
from session import answer

app = FastAPI()


class Digits(BaseModel):
    input_data: list[list[float]]


class Answer(BaseModel):
    predictions: list[int]
    probabilities: list[list[float]]


@app.post("/score")
async def score(digits: Digits) -> Answer:
    return Answer(**answer(digits.input_data))
