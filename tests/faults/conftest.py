"""How many changes a file goes through, and what came of them."""

import random
from functools import partial
from itertools import chain

import pytest
from mutations import THINGS
from scene import Tally

SHORT, LONG = 12, 2000
"""Changes of a file in `make test`, and with --long."""


@pytest.fixture(scope="module")
def quick():
    """No waiting for a disk, and a small compressor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        patch.setattr("rondeau.evaluation.baselines.DICTIONARY", 2**12)
        yield


@pytest.fixture
def changes(request):
    """The changes of a file of a scene: what may lie in its place, then random ones."""

    def made(scene, name, change):
        rng = random.Random(request.node.name)
        others = [data for other, data in scene.files.items() if other != name]
        count = LONG if request.config.getoption("--long") else SHORT
        drawn = (change(scene.files[name], others, rng) for _ in range(count - len(THINGS)))
        return chain(THINGS, drawn)

    return made


@pytest.fixture
def tally(record_property):
    """Where what came of changes is counted, and told after the long form."""
    return Tally(partial(record_property, "figures"))
