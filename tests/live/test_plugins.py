"""An operator's own plugin, dropped as a file into a folder, found by its name and called."""

from pathlib import Path

import httpx
import pytest

from tests.live.gate import Gate
from tests.live.upstream import Upstream

pytestmark = pytest.mark.live

CELLAR = '''
"""Chat completions from the vLLM machine in the cellar."""
from attrs import frozen
from zope.interface import implementer
from edge.interfaces import IServicePlugin

@implementer(IServicePlugin)
@frozen
class Cellar:
    name: str = "cellar"
    api: int = 1

    def configure(self, settings, bench):
        return bench.openai(settings["upstreams"]).with_header("X-Model-Room", "cellar")

cellar = Cellar()
'''

PAGES = '''
"""Pages of our own: klein, static files and a form."""
from attrs import frozen
from klein import Klein
from twisted.web.resource import Resource
from twisted.web.static import File
from zope.interface import implementer
from edge.core.service import Traits
from edge.interfaces import IServicePlugin

app = Klein()

@app.route("/hello/<name>")
def hello(request, name):
    request.setHeader("X-Klein", "yes")
    return "hello " + name

class Form(Resource):
    isLeaf = True
    def render_POST(self, request):
        return b"|".join(request.args[b"field"])

@implementer(IServicePlugin)
@frozen
class Pages:
    name: str = "pages"
    api: int = 1

    def configure(self, settings, bench):
        root = Resource()
        root.putChild(b"klein", app.resource())
        root.putChild(b"files", File(settings["options"]["folder"]))
        root.putChild(b"form", Form())
        return bench.local(root, Traits(kind="pages"))

pages = Pages()
'''


def folder_with(tmp_path: Path, name: str, text: str) -> str:
    plugins = tmp_path / "plugins"
    plugins.mkdir(mode=0o700, exist_ok=True)
    (plugins / f"{name}.py").write_text(text)
    return 'plugin_dirs = ["plugins"]\n'


def test_the_fifteen_line_plugin_is_found_and_called(tmp_path: Path) -> None:
    more = folder_with(tmp_path, "cellar", CELLAR)
    with Upstream() as upstream:
        services = {"cellar": {"plugin": "cellar", "route": "/cellar/api", "upstreams": [upstream.url]}}
        with Gate(tmp_path, services, more) as gate, httpx.Client(verify=gate.context()) as client:
            answer = client.post(
                f"{gate.url}/cellar/api/embeddings", json={"model": "m"}, headers={"X-API-Key": gate.key}
            )
    told = {name.lower(): value for name, value in answer.json()["headers"]}
    assert told["x-model-room"] == "cellar"
    assert answer.json()["path"] == "/v1/embeddings"


def test_stock_twisted_web_resources_work_behind_the_guard(tmp_path: Path) -> None:
    more = folder_with(tmp_path, "pages", PAGES)
    files = tmp_path / "files"
    files.mkdir()
    (files / "large.bin").write_bytes(b"0123456789" * 100_000)
    services = {"pages": {"plugin": "pages", "route": "/pages/api", "options": {"folder": str(files)}}}
    with Gate(tmp_path, services, more) as gate:
        for http2 in (False, True):
            with httpx.Client(verify=gate.context(), http2=http2, headers={"X-API-Key": gate.key}) as client:
                base = f"{gate.url}/pages/api"
                klein = client.get(f"{base}/klein/hello/world")
                assert (klein.text, klein.headers["x-klein"]) == ("hello world", "yes")
                assert client.get(f"{base}/files/large.bin").content == b"0123456789" * 100_000
                part = client.get(f"{base}/files/large.bin", headers={"Range": "bytes=10-19"})
                assert (part.status_code, part.content) == (206, b"0123456789")
                assert client.post(f"{base}/form", data={"field": ["a b", "ü"]}).text == "a b|ü"
                assert client.post(f"{base}/form", content=b"x" * 2_000_000).status_code == 413
        with httpx.Client(verify=gate.context()) as stranger:
            assert stranger.get(f"{gate.url}/pages/api/klein/hello/world").status_code == 401


def test_a_broken_plugin_stops_the_start_with_file_line_and_reason(tmp_path: Path) -> None:
    more = folder_with(tmp_path, "broken", "import os\n\nraise RuntimeError('no such card')\n")
    gate = Gate(tmp_path, {"chat": {"plugin": "demo"}}, more)
    with pytest.raises(AssertionError) as failed:
        gate.start()
    told = str(failed.value)
    assert "broken.py:3" in told
    assert "no such card" in told
    assert "Traceback" not in told
