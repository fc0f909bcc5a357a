"""Python's garbage collector: not while everything is loaded, and seldom after."""

import gc


def hurry() -> None:
    """Call before the gate's modules are loaded: nothing of theirs is garbage, and looking for some takes a tenth of the start."""
    gc.disable()


def settle() -> None:
    """Call once after start: what lives now is never looked at by the garbage collector again, and it looks less often.

    References free almost everything at once here; the collector only finds cycles, and walks all objects to do so.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    gc.enable()
