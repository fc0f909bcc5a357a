"""Flask as people put it behind Caddy: a decorator that asks for a key, and `requests` to the service."""

import functools
import os
from collections.abc import Callable
from typing import Any

import requests
from flask import Flask, Response, jsonify, request, stream_with_context

app = Flask(__name__)
upstream = os.environ["UPSTREAM"]
key = os.environ["KEY"]
session = requests.Session()
DROP = {"host", "content-length", "connection", "transfer-encoding", "authorization"}


def require_api_key(view: Callable[..., Any]) -> Callable[..., Any]:
    """Lets in who shows the key."""

    @functools.wraps(view)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        if request.headers.get("Authorization") != f"Bearer {key}":
            return jsonify(error="unauthorized"), 401
        return view(*args, **kwargs)

    return decorated


@app.route("/bench/api/<path:path>", methods=["GET", "POST", "PUT", "DELETE"])
@require_api_key
def proxy(path: str) -> Response:
    answer = session.request(
        request.method,
        f"{upstream}/{path}",
        params=request.query_string.decode(),
        data=request.stream if request.content_length or request.headers.get("Transfer-Encoding") else None,
        headers={name: value for name, value in request.headers if name.lower() not in DROP},
        stream=True,
    )
    fields = [(name, value) for name, value in answer.headers.items() if name.lower() not in DROP]
    return Response(stream_with_context(answer.iter_content(None)), answer.status_code, fields)
