"""How far the gates of a model in training are open, on a little text: what `--gates` records."""

from __future__ import annotations

import numpy as np

from rondeau.inspection.gates import GATES, record
from rondeau.inspection.reading import read
from rondeau.inspection.units import saturation
from rondeau.network.model import Model
from rondeau.text.corpus import Corpus
from rondeau.training.events import GateShares
from rondeau.training.held_out import sample_documents

CHARACTERS = 500
"""Characters read at a look, step by step: a tenth of a second a layer."""


def gate_shares(model: Model, corpus: Corpus) -> tuple[GateShares, ...]:
    """All gates while a model reads the beginning of the validation split, else of the training."""
    documents = corpus.validation or corpus.train
    beginning = sample_documents(documents, pieces=False, most=CHARACTERS)
    whole = corpus.whole_documents
    reading = read(beginning, corpus.tokenizer, whole=whole, most=CHARACTERS)
    found = []
    for activity in record(model, reading.framed):
        for gate in GATES[model.config.cell]:
            values = activity.gates[gate]
            shut, opened = (float(share.mean()) for share in saturation(values))
            counts, _ = np.histogram(values, bins=10, range=(0, 1))
            found.append(
                GateShares(
                    layer=activity.layer + 1,
                    direction="backward" if activity.direction else "forward",
                    gate=gate,
                    shut=shut,
                    open=opened,
                    tenths=tuple((counts / values.size).tolist()),
                )
            )
    return tuple(found)
