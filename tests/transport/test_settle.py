"""Memory at rest."""

import gc

from edge.transport.settle import hurry, settle


def test_what_lives_now_is_set_aside_and_the_collector_comes_seldom():
    before = gc.get_threshold()
    try:
        hurry()
        assert gc.get_threshold()[0] == 20_000
        settle()
        assert gc.get_freeze_count() > 1000
        assert gc.get_threshold()[0] == 50_000
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
