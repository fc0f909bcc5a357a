"""Sets Python's memory to rest once everything is loaded."""

import gc


def settle() -> None:
    """Call once after start: what lives now is never looked at by the garbage collector again, and it looks less often.

    References free almost everything at once here; the collector only finds cycles, and walks all objects to do so.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
