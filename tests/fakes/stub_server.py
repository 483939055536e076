"""A server with vLLM's prompt_logprobs, backed by a small model, that misbehaves when it is told to.

What `misbehave` holds befalls the next requests, one each:
    500 401 429 307     that status, with vLLM's error body; 429 asks for a second, 307 points elsewhere
    hang drip           no answer; an answer byte by byte, for longer than anybody waits
    cut garbage empty   half a body; no JSON; no choices
    short hole infinite one place less; a place without tokens; a log-probability of −∞
    silent              no prompt_logprobs, as from a server that does not know them
    die                 the process ends in the middle: no answer, and no server from there on
"""

from __future__ import annotations

import json
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

_LONGEST = 20.0


class StubServer:
    """Serves on a port of its own until it is closed; `start` opens it again at the same port.

    Args:
        model: a causal language model; its log-probabilities are exact.
        tokenizer: writes decoded_token; without one there is none.

    Attributes:
        requests: the JSON bodies that have come, and `authorizations` their headers.
    """

    def __init__(self, model: Any, tokenizer: Any = None) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.misbehave: deque[str] = deque()
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.closing = threading.Event()
        self.port = 0
        self._thinker = ThreadPoolExecutor(1)
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", self.port), self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> StubServer:
        return self

    def __exit__(self, *error: object) -> None:
        if not self.closing.is_set():
            self.close()

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        choices = [
            {"index": index, "text": "!", "logprobs": None, "finish_reason": "length",
             "prompt_logprobs": self._say(prompt, body["prompt_logprobs"])}
            for index, prompt in enumerate(body["prompt"])
        ]  # fmt: skip
        return {"id": "cmpl-1", "object": "text_completion", "model": body["model"], "choices": choices[::-1]}

    def _say(self, prompt: list[int], number: int) -> list[dict[str, Any] | None]:
        # One thread for all requests: torch would start a pool of its own in each.
        return self._thinker.submit(self._think, prompt, number).result()

    def _think(self, prompt: list[int], number: int) -> list[dict[str, Any] | None]:
        with torch.no_grad():
            log_probs = self.model(input_ids=torch.tensor([prompt])).logits[0].float().log_softmax(-1)
        said: list[dict[str, Any] | None] = [None]
        for here, token in zip(log_probs[:-1], prompt[1:], strict=True):
            top = here.topk(min(number, len(here))).indices.tolist()
            ids = list(dict.fromkeys([token, *top]))
            said.append({str(id): {"logprob": here[id].item(), "rank": int((here > here[id]).sum()) + 1,
                                   "decoded_token": self.tokenizer and self.tokenizer.decode([id])}
                         for id in ids})  # fmt: skip
        return said


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], stub: StubServer) -> None:
        self.stub = stub
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        stub = self.server.stub
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stub.requests.append(body)
        stub.authorizations.append(self.headers["Authorization"])
        fault = stub.misbehave.popleft() if stub.misbehave else ""
        if self.path != "/v1/completions":
            return self._send(404, {"error": {"message": f"no {self.path}"}})
        if fault.isdecimal():
            words = f"told to: {self.headers['Authorization']}\x1b[2J" + " blah" * 200
            headers = {"429": {"Retry-After": "1"}, "307": {"Location": f"{stub.url}/elsewhere"}}
            return self._send(int(fault), {"error": {"message": words}}, headers.get(fault, {}))
        if fault in ("hang", "die"):
            if fault == "die":
                threading.Thread(target=stub.close).start()
            stub.closing.wait(_LONGEST)
            self.close_connection = True
            return None
        said = stub.answer(body)
        first = said["choices"][0]["prompt_logprobs"]
        if fault == "empty":
            said["choices"] = []
        elif fault == "short":
            first.pop()
        elif fault == "hole":
            first[-1] = None
        elif fault == "infinite":
            next(iter(first[-1].values()))["logprob"] = float("-inf")
        elif fault == "silent":
            del said["choices"][0]["prompt_logprobs"]
        return self._send(200, said, fault=fault)

    def _send(
        self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None, fault: str = ""
    ) -> None:
        content = b"<html>" if fault == "garbage" else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if fault == "drip":
            while not self.server.stub.closing.wait(0.05):
                self.wfile.write(b" ")
        elif fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests' output is not its place."""
