"""Coverage-guided fuzzing: `python -m tests.fuzz.run requests|answers|chunks|paths|fields|frames [libFuzzer's options]`.

Needs atheris (`pip install atheris`). What is new goes into `tests/fuzz/corpus/TARGET`; a crash leaves its input behind.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edge"]):
    from edge.core.forwarding import CREDENTIALS, HOP_BY_HOP, NOT_SENT_ON, sent_back, sent_on
    from edge.core.headers import Fields
    from edge.core.redact import printable, redacted
    from edge.core.refusal import Refusal
    from edge.core.routing import _forms
    from tests.fuzz import frames, oracle, seeds


def paths(data: bytes) -> None:
    # Unremembered, since what is remembered covers nothing new.
    judged = _forms(b"/" + data)
    if not isinstance(judged, Refusal):
        for form in judged:
            assert ".." not in form.replace("\\", "/").split("/"), data
            assert not any(char < " " or char == "\x7f" for char in form), data
    assert printable(redacted(data)).isprintable()


def fields(data: bytes) -> None:
    pairs = [(name, value) for line in data.split(b"\n") for name, _, value in [line.partition(b":")]]
    for name, value in sent_on(Fields(pairs)):
        spelt = name.lower().replace(b"_", b"-")
        assert spelt not in NOT_SENT_ON and spelt not in CREDENTIALS and not spelt.startswith(b"x-aigate"), data
        assert (name, value) in pairs
    for name, value in sent_back(Fields(pairs), True):
        assert name.lower() not in HOP_BY_HOP and not name.lower().startswith(b"x-aigate"), data
        assert (name, value) in pairs


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "requests": (oracle.judge_request, seeds.requests()),
    "answers": (oracle.judge_answer, seeds.answers()),
    "chunks": (oracle.judge_chunks, seeds.chunks()),
    "paths": (paths, seeds.paths()),
    "fields": (fields, seeds.fields()),
    "frames": (frames.judge_frames, seeds.frames()),
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
