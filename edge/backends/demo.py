"""A service with no AI behind it: it speaks OpenAI's and Ollama's API, beeps and draws, and says that it is a demo."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import uuid4

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from edge.backends import demo_words as words
from edge.backends.demo_media import beep, picture
from edge.core.mapping import everything

MOST_IMAGES: Final = 4
SAID_OF_AUDIO: Final = "This is the demo of aigate: it cannot hear, so it does not know what you said."

Answer = bytes | int
Handler = Callable[["Demo", Request, dict[str, Any]], Answer]


class Wrong(Exception):
    """A request that the demo cannot answer: the status and what to say."""

    def __init__(self, status: int, say: str) -> None:
        super().__init__(say)
        self.status = status
        self.say = say


class Demo(Resource):
    """The whole service, a leaf: the path below its route is in `postpath`, the body in `content`."""

    isLeaf = True

    def __init__(self, clock: IReactorTime, pace: float = 0.03, now: Callable[[], float] = time.time) -> None:
        """`pace` is the seconds between two words of a streamed answer; `now` gives Unix seconds."""
        super().__init__()  # type: ignore[no-untyped-call]  # twisted.web's Resource has no annotations
        self._clock = clock
        self._pace = pace
        self.now = now

    def render(self, request: Request) -> Answer:
        path = everything(b"/" + b"/".join(request.postpath or ())).decode("utf-8", "replace")
        try:
            methods = ROUTES.get(path)
            if methods is None:
                raise Wrong(404, f"the demo has no {path[:80]}")
            method = request.method.decode("latin-1")
            handler = methods.get("GET" if method == "HEAD" else method)
            if handler is None:
                raise Wrong(405, f"{path} takes {' or '.join(methods)}")
            return handler(self, request, _body(request) if method == "POST" else {})
        except Wrong as wrong:
            request.setResponseCode(wrong.status)
            if path.startswith("/api/"):
                return self.whole(request, {"error": wrong.say})
            kind = "invalid_request_error"
            return self.whole(request, {"error": {"message": wrong.say, "type": kind, "param": None, "code": None}})

    def talk(self, body: dict[str, Any]) -> words.Talk:
        return words.Talk(words.asked(body), self.now(), uuid4().hex[:24])

    def whole(self, request: Request, value: dict[str, Any]) -> bytes:
        """One JSON value as the answer."""
        return self.data(request, b"application/json", json.dumps(value).encode())

    def data(self, request: Request, kind: bytes, data: bytes) -> bytes:
        request.setHeader(b"content-type", kind)
        request.setHeader(b"content-length", str(len(data)).encode())
        return b"" if request.method == b"HEAD" else data

    def stream(self, request: Request, kind: bytes, pieces: Iterator[bytes]) -> int:
        """An answer written piece by piece, one every `pace` seconds, until the client leaves."""
        request.setHeader(b"content-type", kind)
        request.setHeader(b"cache-control", b"no-cache")
        due: IDelayedCall | None = None

        def left(_: Failure) -> None:
            if due is not None and due.active():
                due.cancel()

        def step() -> None:
            nonlocal due
            piece = next(pieces, None)
            if piece is None:
                request.finish()
                return
            due = self._clock.callLater(self._pace, step)
            request.write(piece)

        request.notifyFinish().addErrback(left)
        step()
        return NOT_DONE_YET


def _body(request: Request) -> dict[str, Any]:
    # curl calls JSON a form unless told otherwise, and Ollama takes it all the same.
    if (request.getHeader("content-type") or "").startswith("multipart/"):
        return {}
    try:
        value = json.loads((request.content and request.content.read()) or b"{}")
    except (ValueError, RecursionError):
        raise Wrong(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise Wrong(400, "the body is not a JSON object")
    return value


def _openai_chat(demo: Demo, request: Request, body: dict[str, Any]) -> Answer:
    talk = demo.talk(body)
    if not body.get("stream"):
        return demo.whole(request, words.openai_whole(talk))
    options = body.get("stream_options")
    counted = isinstance(options, dict) and bool(options.get("include_usage"))

    def events() -> Iterator[bytes]:
        for chunk in words.openai_chunks(talk, counted):
            yield b"data: " + json.dumps(chunk).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    return demo.stream(request, b"text/event-stream", events())


def _ollama(chat: bool) -> Handler:
    def handler(demo: Demo, request: Request, body: dict[str, Any]) -> Answer:
        talk = demo.talk(body)
        if body.get("stream") is False:
            return demo.whole(request, words.ollama_whole(talk, chat))
        lines = (json.dumps(line).encode() + b"\n" for line in words.ollama_chunks(talk, chat))
        return demo.stream(request, b"application/x-ndjson", lines)

    return handler


def _images(demo: Demo, request: Request, body: dict[str, Any]) -> Answer:
    prompt, size, count = body.get("prompt"), body.get("size"), body.get("n")
    sides = size.lower().split("x") if isinstance(size, str) else []
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and len(side) < 6 for side in sides):
        sides = ["256", "256"]
    count = count if isinstance(count, int) and 1 <= count <= MOST_IMAGES else 1
    drawn = [picture(int(sides[0]), int(sides[1]), f"{prompt}{turn}") for turn in range(count)]
    said = "A disc before a sky, drawn by the demo of aigate"
    data = [{"b64_json": base64.b64encode(png).decode(), "revised_prompt": said} for png in drawn]
    return demo.whole(request, {"created": int(demo.now()), "data": data})


ROUTES: Final[dict[str, dict[str, Handler]]] = {
    "/": {"GET": lambda demo, request, _: demo.data(request, b"text/plain", b"This is the demo of aigate.\n")},
    "/v1/chat/completions": {"POST": _openai_chat},
    "/v1/models": {"GET": lambda demo, request, _: demo.whole(request, words.openai_models(demo.now()))},
    "/v1/audio/speech": {"POST": lambda demo, request, _: demo.data(request, b"audio/wav", beep())},
    "/v1/audio/transcriptions": {"POST": lambda demo, request, _: demo.whole(request, {"text": SAID_OF_AUDIO})},
    "/v1/images/generations": {"POST": _images},
    "/api/chat": {"POST": _ollama(chat=True)},
    "/api/generate": {"POST": _ollama(chat=False)},
    "/api/tags": {"GET": lambda demo, request, _: demo.whole(request, words.ollama_tags(demo.now()))},
    "/api/ps": {"GET": lambda demo, request, _: demo.whole(request, {"models": []})},
    "/api/version": {"GET": lambda demo, request, _: demo.whole(request, {"version": "0.0.0-demo"})},
}
"""Mapped path → method → what answers it."""
