"""The model behind LitServe: `python with_litserve.py PORT`."""

import sys
from typing import Any

import litserve


class Digits(litserve.LitAPI):
    def setup(self, device: str) -> None:
        from session import answer  # in the process that answers

        self.answer = answer

    def decode_request(self, request: dict[str, Any]) -> list[list[float]]:
        return request["input_data"]

    def predict(self, images: list[list[float]]) -> dict[str, Any]:
        return self.answer(images)

    def encode_response(self, answer: dict[str, Any]) -> dict[str, Any]:
        return answer


if __name__ == "__main__":
    server = litserve.LitServer(Digits(api_path="/score"), accelerator="cpu", fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
