# %% [markdown]
# # What the gates do
#
# A gate is a number between 0 and 1 for every unit and every character. Here we train an LSTM on
# the songs that come with Rondeau and look inside while it reads: what its gates do on a few lines,
# how long its units remember, how much of the text it uses, what it loses when a gate is held, and
# how far a gradient reaches. `rondeau inspect RUN` makes a page of the like for any model; here
# each picture is a few lines. It takes about a minute. [cells.md](../cells.md) has the
# equations.

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
STEPS = int(os.environ.get("RONDEAU_NOTEBOOK_STEPS", "300"))
NAMES = {"f": "forget gate f", "i": "input gate i", "o": "output gate o"}
COLOURS = dict(zip("fio", (pictures.COLOURS[k] for k in (0, 2, 4)), strict=True))

# %% [markdown]
# ## The gates while the model learns
#
# `gates=True` (on the command line `--gates`) records at each look at held-out songs what share of
# every gate's values is below 0.1 (shut) and above 0.9 (open). A gate that is always shut or always
# open has stopped being a gate.

# %%
config = rondeau.TrainConfig(
    cell="lstm",
    hidden=128,
    layers=1,
    dropout=0.3,
    lr=0.005,
    steps=STEPS,
    eval_every=20,
    gates=True,
    threads=1,  # so small a model gains little by more
)
training = rondeau.train((), config, out=Path(tempfile.mkdtemp()) / "songs")
looks = [event for event in training if event.gates]
model = training.finish()

figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
steps = [event.step for event in looks]
for gate, name in NAMES.items():
    shares = [next(s for s in event.gates if s.gate == gate) for event in looks]
    axes.plot(steps, [s.open for s in shares], color=COLOURS[gate], label=f"{name}: open")
    axes.plot(steps, [s.shut for s in shares], ":", color=COLOURS[gate], label="shut")
axes.set(xlabel="step", ylabel="share of values", ylim=(0, 1), title="Gates while the model learns")
_ = axes.legend(ncols=3, fontsize=8)

# %% [markdown]
# A fresh LSTM has every gate near one half, neither open nor shut. It soon opens f and i: what is
# read is kept and added up. That serves the first thing there is to learn, how frequent each
# character is. Only then do gates begin to tell one moment from another, and fewer of them stand
# fully open.
#
# ## A few lines of text
#
# `inspect` reads the held-out songs and records everything. A row of `passage` is a character, a
# column a unit. This is the forget gate of the twelve units that remember longest, and of the
# twelve that remember shortest: **1 keeps** the memory c, **0 drops** it.

# %%
inspection = model.inspect()
(layer,) = inspection.layers
text = inspection.passage.replace("\n", "↵")
chosen = np.concatenate([layer.order[:12], layer.order[-12:]])

plt.rcParams["font.family"] = pictures.font_families(text) or ["DejaVu Sans"]
figure, axes = plt.subplots(figsize=(11, 4.2), layout="constrained")
forget = layer.passage.gates["f"][:, chosen]
image = axes.imshow(forget.T, aspect="auto", cmap="cividis", vmin=0, vmax=1)
axes.axhline(11.5, color="white", linewidth=2)
axes.grid(visible=False)
axes.set_xticks(range(len(text)), [pictures.drawable(character) for character in text], fontsize=8)
axes.set_yticks([5.5, 17.5], ["slow units", "fast units"])
axes.set_title("Forget gate f: 1 keeps, 0 drops")
_ = figure.colorbar(image, ax=axes)

# %% [markdown]
# Look for columns, characters at which many units let go at once. Line breaks (↵) stand out: fast
# units drop what they held at the end of a line, and some of them hold on to the first characters
# of the next.
#
# ## How long the units remember
#
# Over T steps a unit keeps the product of its f's. If that shrinks like $e^{-T/\tau}$, then $\tau =
# -1/\overline{\ln f}$ is how many characters it takes until about a third (1/e) is left. A gate at
# one half, as it is drawn, has τ = 1.4.

# %%
constants = layer.time_constants
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.hist(constants, bins=30, color=COLOURS["f"])
axes.set(xlabel="time constant τ, characters", ylabel="units", title="How long the units remember")
print(f"half of the units below {np.median(constants):.1f}, the slowest {constants.max():.1f}")

# %% [markdown]
# Training has made the memory several times longer than it was drawn: about a line of a song.
# Whether it is of use is another question. We let the model read only the last k characters before
# each target, from an empty memory, and see what more of them save:

# %%
context = inspection.context
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.errorbar(context.lengths, context.whole.mean, context.whole.error, color=pictures.COLOURS[0])
axes.set_xscale("log", base=2)
axes.set(xlabel="characters that are read, k", ylabel="bits a character")
axes.set_xticks(context.lengths, [str(length) for length in context.lengths])
_ = axes.set_title("What the context is worth")

# %% [markdown]
# The curve is flat after some eight characters, no more than a line. A song has more to say than
# that about how it goes on; twenty thousand characters are too few to learn it from. (With one
# character it does worse than counting: it has hardly ever begun in the middle of a line.)
#
# ## Holding a gate
#
# What a gate is good for can be measured: hold it at a value, change nothing else, and count the
# bits that it costs. *At its mean*, each unit's gate stays at the average that it had anyway: all
# that is then missing is that it **moves**.

# %%
ablation = inspection.ablation
print(f"as it is: {ablation.bits_per_character:.2f} bits a character on held-out songs\n")
for cost in ablation.costs:
    print(f"{cost.held.label:9} costs {cost.cost:6.2f} bits a character, ± {cost.error:.2f}")

# %% [markdown]
# With i = 0 or o = 0 the network gets nothing to see: the cost is all that it knew of the context.
# f = 0 leaves it only what h hands on to the next step; f = 1 lets it never forget, and the sum in
# c grows stale. Held at their means, f and i cost next to nothing: this small model needs them
# *open to the right degree*, unit by unit, more than moving. The gate that has to move is o. It is
# the one that decides what of the memory is shown for the next character.
#
# A model with a held gate is a model like any other, so it can write. The same prefix and the same
# seed, and one gate is another:

# %%
for gate, value in ((None, None), ("f", 0.0), ("f", 1.0), ("i", 0.0), ("o", 1.0)):
    network = model.model if gate is None else hold(model.model, gate, value)
    held = rondeau.LanguageModel(
        network, model.tokenizer, model.run, whole_documents=model.whole_documents
    )
    (sample,) = held.generate("分开", length=30, seed=5)
    name = "as it is" if gate is None else f"{gate} = {value:g}"
    print(f"{name:10} 分开{sample.text}".replace("\n", " / "))

# %% [markdown]
# ## How far a gradient reaches
#
# The length of $\partial\,\mathrm{loss}_t / \partial c_{t-k}$ says how much the loss at t asks of
# the memory k steps earlier. We compare the network as it was drawn with what training made of it,
# on the same songs.

# %%
songs = "".join(model.corpus().train[d] for d in range(8))
ids = model.tokenizer.encode(songs)
torch.manual_seed(config.seed)
fresh = rondeau.Model(model.model.config, model.model.vocabulary)

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for name, network, colour in (("as drawn", fresh, 7), ("trained", model.model, 0)):
    reach = gradient_reach(network, ids, horizon=48, positions=64)
    curve = next(curve for curve in reach.curves if curve.state == "c")
    colour = pictures.COLOURS[colour]
    axes.semilogy(curve.mean, color=colour, label=name)
    axes.fill_between(range(49), curve.low, curve.high, color=colour, alpha=0.15, linewidth=0)
    print(f"{name}: below 1 % of its start from k = {curve.vanishing()} on")
axes.set(
    xlabel="steps back, k", ylabel="length of the gradient", title="Reach of the gradient in c"
)
_ = axes.legend()

# %% [markdown]
# The bands hold 80 % of the positions. As drawn, the memory halves at every step and the gradient
# with it: nine steps back less than a hundredth is left. After training that takes thirty. The
# gates don't only offer a path; opened, they make it longer, and a longer path can teach what is
# further back.
#
# ## Going on
#
# - Train the same with `cell="gru"` and look at z and r in place of f, i and o. When we did, the
#   GRU shut its update gate: nine values of z in ten were below 0.1, and z = 0 cost nothing. All
#   that it kept went through the candidate, where r = 0 cost 2.1 bits a character. It was the
#   better model of the two, 8.4 bits to 8.6. A gate does what the text asks for, not what its name
#   promises.
# - `rondeau inspect RUN` writes all of this as one page, for a text of your own.
# - [From RNN to GRU and LSTM](from-rnn-to-gru-and-lstm.py) begins at the equations.
