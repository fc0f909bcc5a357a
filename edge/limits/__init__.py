"""Limits as the request path meets them: the `Limiter` charges rates and budgets, `Slots` hands out places at the hardware."""
