"""Small real servers on loopback."""

import pytest
from twisted.internet import reactor
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site


class Told(Resource):
    """Answers each path as told: (status, body), or None for silence."""

    isLeaf = True

    def __init__(self, answers):
        super().__init__()
        self.answers = answers
        self.asked = []

    def render(self, request):
        path = request.path.decode()
        self.asked.append(path)
        answer = self.answers.get(path, (404, b"not here"))
        if answer is None:
            return NOT_DONE_YET
        request.setResponseCode(answer[0])
        request.setHeader("server", "told")
        return answer[1]


@pytest.fixture
def serve():
    """`serve({path: (status, body)})` → (port, resource)."""
    ports = []

    def start(resource):
        if isinstance(resource, dict):
            resource = Told(resource)
        port = reactor.listenTCP(0, Site(resource, timeout=5), interface="127.0.0.1")
        ports.append(port)
        return port.getHost().port, resource

    yield start
    for port in ports:
        port.stopListening()


@pytest.fixture
def closed():
    """A port where nobody listens."""
    port = reactor.listenTCP(0, Site(Resource()), interface="127.0.0.1")
    number = port.getHost().port
    port.stopListening()
    return number


@pytest.fixture
def agent():
    return Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False))
