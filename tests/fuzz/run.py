"""Coverage-guided fuzzing: `python -m tests.fuzz.run requests|answers|chunks|paths|fields [libFuzzer's options]`.

Needs atheris (`pip install atheris`). What is new goes into `tests/fuzz/corpus/TARGET`; a crash leaves its input behind.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edge"]):
    from edge.core.forwarding import sent_back, sent_on
    from edge.core.headers import Fields
    from edge.core.redact import printable, redacted
    from edge.core.refusal import Refusal
    from edge.core.routing import forms
    from tests.fuzz import oracle, seeds


def paths(data: bytes) -> None:
    judged = forms(b"/" + data)
    if not isinstance(judged, Refusal):
        for form in judged:
            assert ".." not in form.replace("\\", "/").split("/"), data
    assert printable(redacted(data)).isprintable()


def fields(data: bytes) -> None:
    pairs = [(name, value) for line in data.split(b"\n") for name, _, value in [line.partition(b":")]]
    for kept in (sent_on(Fields(pairs)), sent_back(Fields(pairs), True)):
        assert all(
            name.lower().replace(b"_", b"-") not in (b"transfer-encoding", b"connection") for name, _ in kept
        ) or (kept == sent_back(Fields(pairs), True))


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "requests": (oracle.judge_request, seeds.requests()),
    "answers": (oracle.judge_answer, seeds.answers()),
    "chunks": (oracle.judge_chunks, seeds.chunks()),
    "paths": (paths, []),
    "fields": (fields, []),
}


def main() -> None:
    target = sys.argv[1]
    judge, base = TARGETS[target]
    folder = seeds.CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    first = Path(tempfile.mkdtemp(prefix="fuzz-seeds-"))
    for number, data in enumerate(base):
        (first / f"{number:04}").write_bytes(data)
    atheris.Setup([sys.argv[0], *sys.argv[2:], "-max_len=4096", str(folder), str(first)], judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
