"""A learner of 11 ids, small enough to look into."""

import numpy as np
import torch

from rondeau.config import ModelConfig, TrainConfig
from rondeau.network.model import Model
from rondeau.text.batches import Windows
from rondeau.training.group import ALONE
from rondeau.training.learning import Learner

SIZES = {"hidden": 9, "layers": 2, "batch": 4, "seq_len": 6, "bidirectional": False}


def small_learner(**settings):
    """Of a freshly drawn model on the CPU, by the loop."""
    config = TrainConfig(**SIZES | {"backend": "reference"} | settings)
    torch.manual_seed(0)
    model = Model(ModelConfig.of(config), 11).train()
    model.backend, model.precision = config.backend, config.precision
    ring = np.random.default_rng(0).integers(3, 11, 200)
    windows = Windows(ring, np.zeros(11, bool), config.batch, config.seq_len, seed=1)
    return Learner(model, windows, config, group=ALONE, device=torch.device("cpu"))
