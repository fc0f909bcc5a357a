"""What the demo says, in the shapes of OpenAI's and Ollama's clients: values in, JSON values out."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from attrs import field, frozen

MODEL: Final = "demo"
"""What answers, whatever is asked for: a name that a client chose must not pass for a model that is there."""
QUOTED: Final = 200
"""How many characters of a question are said back."""

Json = dict[str, Any]


@frozen
class Talk:
    """One question, and the answer to it in words."""

    asked: str
    at: float
    """Unix seconds."""
    id: str = ""
    words: tuple[str, ...] = field(init=False)

    @words.default
    def _said(self) -> tuple[str, ...]:
        quoted = " ".join(self.asked.split())[:QUOTED]
        said = f"You said: “{quoted}”. " if quoted else ""
        text = (
            f"This is the demo of aigate, not an AI. {said}"
            "It answers word by word, so that you can watch a stream arrive. "
            "Start a model server and name it in the configuration to talk to a real one."
        )
        return tuple(f"{word} " for word in text.split(" "))

    @property
    def text(self) -> str:
        return "".join(self.words).rstrip()

    @property
    def prompt_tokens(self) -> int:
        return len(self.asked.split())


def asked(body: Json) -> str:
    """The text of the last thing that was asked, by either API; "" where none is found."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        prompt = body.get("prompt")
        return prompt if isinstance(prompt, str) else ""
    last = messages[-1]
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, list):
        return " ".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return content if isinstance(content, str) else ""


def usage(talk: Talk) -> Json:
    return {
        "prompt_tokens": talk.prompt_tokens,
        "completion_tokens": len(talk.words),
        "total_tokens": talk.prompt_tokens + len(talk.words),
    }


def openai_whole(talk: Talk) -> Json:
    """A chat completion."""
    message = {"role": "assistant", "content": talk.text}
    return {
        "id": f"chatcmpl-{talk.id}",
        "object": "chat.completion",
        "created": int(talk.at),
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage(talk),
    }


def openai_chunks(talk: Talk, with_usage: bool) -> Iterator[Json]:
    """The chunks of a streamed chat completion; the counts come last, for who asked for them."""

    def chunk(choices: list[Json], **more: Any) -> Json:
        head = {"id": f"chatcmpl-{talk.id}", "object": "chat.completion.chunk", "created": int(talk.at)}
        return {**head, "model": MODEL, "choices": choices, **more}

    yield chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
    for word in talk.words:
        yield chunk([{"index": 0, "delta": {"content": word}, "finish_reason": None}])
    yield chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    if with_usage:
        yield chunk([], usage=usage(talk))


def openai_models(at: float) -> Json:
    return {
        "object": "list",
        "data": [{"id": MODEL, "object": "model", "created": int(at), "owned_by": "aigate"}],
    }


def stamp(at: float) -> str:
    """RFC 3339 of Unix seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def ollama_chunks(talk: Talk, chat: bool) -> Iterator[Json]:
    """The lines of a streamed answer to `/api/chat`, or else to `/api/generate`; the last has the counts."""

    def line(text: str, **more: Any) -> Json:
        said = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
        return {"model": MODEL, "created_at": stamp(talk.at), **said, **more}

    for word in talk.words:
        yield line(word, done=False)
    yield line("", **_counts(talk))


def ollama_whole(talk: Talk, chat: bool) -> Json:
    said = {"message": {"role": "assistant", "content": talk.text}} if chat else {"response": talk.text}
    return {"model": MODEL, "created_at": stamp(talk.at), **said, **_counts(talk)}


def _counts(talk: Talk) -> Json:
    return {
        "done": True,
        "done_reason": "stop",
        "total_duration": 1_000_000,
        "load_duration": 1_000,
        "prompt_eval_count": talk.prompt_tokens,
        "prompt_eval_duration": 1_000,
        "eval_count": len(talk.words),
        "eval_duration": 1_000_000,
    }


def ollama_tags(at: float) -> Json:
    details = {
        "parent_model": "",
        "format": "demo",
        "family": "demo",
        "families": ["demo"],
        "parameter_size": "0",
        "quantization_level": "none",
    }
    model = {"name": MODEL, "model": MODEL, "modified_at": stamp(at), "size": 0, "digest": "0" * 64, "details": details}
    return {"models": [model]}
