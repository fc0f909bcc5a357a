"""The look at a body that a key's model rule asks for: bounded, strict, and before anything goes up."""

from attrs import define

from edge.core.inspect import model_in_head, model_of
from edge.core.models import judge_model
from edge.core.refusal import Refusal
from edge.wire.body import BodyLostError, BodyTooLargeError
from edge.wire.request import Request

TOO_LARGE = "this key's rules need a look at the body, which is larger than {most} bytes"


@define(eq=False)
class ModelRule:
    """One service's turn for keys that may use certain models only."""

    most: int
    """Bytes of a body that are held to be judged."""

    async def turn(self, request: Request) -> Refusal | None:
        """The refusal of a model that the key may not use, or of a body that cannot be read in one way only."""
        caller, where = request.exchange.caller, request.rule.model
        if not where or caller is None or not caller.key.models:
            return None
        if where.startswith(("json:", "form:")):
            try:
                body = await request.body.read(self.most)
            except BodyTooLargeError:
                return Refusal("body-too-large", TOO_LARGE.format(most=self.most), retry=False)
            except BodyLostError:
                return None
            fields = request.fields
            model = model_of(body, fields.get(b"content-type"), where, fields.get(b"content-encoding"))
        else:
            model = model_in_head(request.mapped.decode("ascii"), request.query, where)
        if isinstance(model, Refusal):
            return model
        request.exchange = request.exchange.asking(model)
        return judge_model(caller.key, model)
