"""Python's garbage collector: seldom while everything is loaded, and more seldom after."""

import gc


def hurry() -> None:
    """Call before the gate's modules are loaded: hardly anything of theirs is garbage, and looking takes a tenth of the start."""
    gc.set_threshold(20_000, 50, 1_000)


def settle() -> None:
    """Call once after start: what lives now is never looked at by the garbage collector again, and it looks less often.

    References free almost everything at once here; the collector only finds cycles, and walks all objects to do so.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
