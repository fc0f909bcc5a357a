"""One line that puts a resource behind admission."""

from twisted.web.resource import Resource

from edge.auth.requires import NOBODY, required, requires


@requires(service="chat")
class Summary(Resource):
    pass


class Longer(Summary):
    pass


@requires(scope="admin")
class Keys(Summary):
    pass


def test_a_class_says_what_it_needs_and_its_subclasses_too() -> None:
    for made in (Summary(), Longer()):
        assert (required(made).service, required(made).rule.scope) == ("chat", "")
    assert (required(Keys()).service, required(Keys()).rule.scope) == ("", "admin")


def test_one_resource_can_be_marked() -> None:
    page = requires()(Resource())
    assert required(page).service == ""
    assert required(page).rule.scope == ""


def test_a_resource_that_says_nothing_is_closed() -> None:
    assert required(Resource()) is NOBODY
    assert NOBODY.rule.scope == "never"
