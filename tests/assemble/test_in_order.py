from twisted.application.service import Service
from twisted.internet.defer import Deferred

from edge.assemble.in_order import InOrder


class Slow(Service):
    def __init__(self, name, said):
        self.name, self.said, self.ends = name, said, Deferred()

    def stopService(self):
        super().stopService()
        self.said.append(self.name)
        return self.ends


def test_each_ends_when_those_that_came_after_it_have_ended_even_badly():
    said, ended, root = [], [], InOrder()
    first, second, third = children = [Slow(name, said) for name in ("first", "second", "third")]
    for child in children:
        child.setServiceParent(root)
    root.startService()
    root.stopService().addCallback(ended.append)
    assert said == ["third"] and not root.running
    third.ends.callback(None)
    assert said == ["third", "second"]
    second.ends.errback(OSError("stuck"))
    assert said == ["third", "second", "first"] and not ended
    first.ends.callback(None)
    assert ended == [None]
