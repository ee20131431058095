# %% [markdown]
# # What the gates do
#
# A gate is a number between 0 and 1 for every unit and every character. Here we train a GRU on the
# songs that come with Rondeau and look inside while it reads: what its gates do on a line of text,
# how long its units remember, what it loses when a gate is held, and how far a gradient reaches.
# `rondeau inspect RUN` makes a page of the like for any model; here each figure is a few lines. It
# takes three or four minutes on two cores.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import rondeau
from rondeau.inspection.ablation import hold
from rondeau.inspection.reach import gradient_reach
from rondeau.report import pictures

plt.rcParams.update(pictures.STYLE)
STEPS = int(os.environ.get("RONDEAU_NOTEBOOK_STEPS", "400"))

# %% [markdown]
# ## A model, and its gates while it learns
#
# `gates=True` (on the command line `--gates`) records at each look at the held-out songs what share
# of every gate's values is below 0.1 (shut) and above 0.9 (open). A gate that is always shut or
# always open has stopped being a gate.

# %%
config = rondeau.TrainConfig(
    hidden=128,
    layers=1,
    dropout=0.3,
    steps=STEPS,
    lr=0.005,
    eval_every=max(10, STEPS // 10),
    gates=True,
)
training = rondeau.train((), config, out=Path(tempfile.mkdtemp()) / "songs")
looks = [event for event in training if event.gates]
model = training.finish()

figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
steps = [event.step for event in looks]
for k, (gate, name) in enumerate((("r", "reset gate r"), ("z", "update gate z"))):
    shares = [next(s for s in event.gates if s.gate == gate) for event in looks]
    axes.plot(steps, [s.open for s in shares], color=pictures.COLOURS[2 * k], label=f"{name}: open")
    axes.plot(steps, [s.shut for s in shares], ":", color=pictures.COLOURS[2 * k], label="shut")
axes.set(xlabel="step", ylabel="share of values", title="Gates while the model learns")
_ = axes.legend(ncols=2)

# %% [markdown]
# A fresh GRU has every gate near one half: it mixes everything. Training pulls gates apart; it
# takes long until many are fully open or shut.
#
# ## A line of text
#
# `inspect` reads a held-out song and records everything: rows of `passage` are its characters,
# columns are units. We show the update gate of the units that remember longest and shortest.
# Remember z's sense: **1 keeps** the old state, **0 replaces** it.

# %%
song = model.corpus().validation[0]
inspection = model.inspect(song)
(layer,) = inspection.layers
text = inspection.passage.replace("\n", "↵")
slow, fast = layer.order[:12], layer.order[-12:]
z = layer.passage.gates["z"][:, np.concatenate([slow, fast])]

plt.rcParams["font.family"] = pictures.font_families(text) or ["DejaVu Sans"]
figure, axes = plt.subplots(figsize=(11, 4.2), layout="constrained")
image = axes.imshow(z.T, aspect="auto", cmap="cividis", vmin=0, vmax=1)
axes.axhline(11.5, color="white", linewidth=2)
axes.grid(visible=False)
axes.set_xticks(range(len(text)), [pictures.drawable(character) for character in text], fontsize=8)
axes.set_yticks([5.5, 17.5], ["slow units", "fast units"])
axes.set_title("Update gate z: 1 keeps, 0 replaces")
_ = figure.colorbar(image, ax=axes)

# %% [markdown]
# Look for columns: characters at which many units at once let go of what they held. Line breaks are
# often among them, since a new line begins something new.
#
# ## Time constants
#
# Over T steps a unit keeps the product of its z's. If that shrinks like $e^{-T/\tau}$, then $\tau =
# -1/\overline{\ln z}$ is how many characters it takes until about a third (1/e) is left.

# %%
constants = layer.time_constants
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.hist(
    constants, bins=np.geomspace(constants.min(), constants.max(), 30), color=pictures.COLOURS[0]
)
axes.set(xscale="log", xlabel="time constant, characters", ylabel="units")
axes.set_title("How long the units remember")
quantiles = np.quantile(constants, [0.1, 0.5, 0.9])
print(
    "a tenth of the units below {:.1f}, half below {:.1f}, a tenth above {:.1f}".format(*quantiles)
)

# %% [markdown]
# A spread of time scales is what training made of one time scale at the start. Note how short they
# are: songs of this kind have little to say about a character that is further back than its line.
#
# ## Holding a gate
#
# What a gate is good for can be measured: hold it at a value, change nothing else, and count the
# bits that it costs. *At its mean* each unit's gate stays at the average that it had anyway: what
# is then missing is that it **moves**.

# %%
ablation = inspection.ablation
print(f"as it is: {ablation.bits_per_character:.2f} bits a character\n")
for cost in ablation.costs:
    print(f"{cost.held.label:10} costs {cost.cost:6.2f} bits a character")

# %% [markdown]
# z = 1 freezes the state: the model knows nothing of what it reads. z = 0 takes the memory away but
# for what the candidate hands on. r = 0 makes a candidate of the character alone. Held gates also
# write. The same prefix and seed, and only the gate is another:

# %%
for gate, value in ((None, None), ("z", 0.0), ("z", 1.0), ("r", 0.0), ("r", 1.0)):
    network = model.model if gate is None else hold(model.model, gate, value)
    held = rondeau.LanguageModel(
        network, model.tokenizer, model.run, whole_documents=model.whole_documents
    )
    (sample,) = held.generate("分开", length=24, seed=5)
    name = "as it is" if gate is None else f"{gate} = {value:g}"
    print(f"{name:10} 分开{sample.text}".replace("\n", " / "))

# %% [markdown]
# ## How far a gradient reaches
#
# The length of $\partial\,\mathrm{loss}_t / \partial h_{t-k}$ says how much the loss at t asks of
# the state k steps earlier. We take the network as it was drawn, and as it is after training, on
# the same songs.

# %%
songs = "".join(model.corpus().train[d] for d in range(8))
ids = model.tokenizer.encode(songs)
torch.manual_seed(config.seed)
fresh = rondeau.Model(model.model.config, model.model.vocabulary)

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name, network, colour in (("as drawn", fresh, 7), ("trained", model.model, 0)):
    (curve,) = gradient_reach(network, ids, horizon=48, positions=64, seed=0).curves
    colour = pictures.COLOURS[colour]
    axes.semilogy(curve.mean, color=colour, label=name)
    axes.fill_between(range(49), curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    print(f"{name}: below 1 % of its start from {curve.vanishing()} steps back on")
axes.set(
    xlabel="steps back, k", ylabel="length of the gradient", title="Reach of the gradient in h"
)
_ = axes.legend()

# %% [markdown]
# The band holds 80 % of the positions. Training doesn't only use the path that the gates offer: by
# opening them where it pays it makes the path longer.
#
# ## Going on
#
# - `rondeau inspect RUN` writes all of this as one page, for your own text.
# - [cells.md](../cells.md) has the equations and pictures of the cells.
# - Train with `--cell lstm` and look at f, i and o in the same way: everything on this page works
#   for it.
