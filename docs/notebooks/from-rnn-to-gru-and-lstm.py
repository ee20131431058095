# %% [markdown]
# # From RNN to GRU and LSTM
#
# Recurrent cells from their equations to a model that writes, on a text that is small enough to
# watch. [cells.md](../cells.md) has the equations and pictures; here they run. It takes a
# minute or two.
#
# Letters: T steps, B streams at once, D the size of an input, H that of a state, V the vocabulary.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import rondeau
from rondeau import cells
from rondeau.report import pictures

plt.rcParams.update(pictures.STYLE)
STEPS = int(os.environ.get("RONDEAU_NOTEBOOK_STEPS", "400"))
_ = torch.manual_seed(0)

# %% [markdown]
# ## One step, by hand
#
# A cell turns an input x and a state h into the next state. The simple recurrent cell is one line:
#
# $$h' = \tanh(x W + b + h U + c)$$
#
# Vectors are rows, so W is (D, H) and U is (H, H). In Rondeau every cell is three short methods:
# `project` (the input's share, x W + b), `gates` (all that is squashed) and `update` (the next
# state).

# %%
D, H = 3, 4
cell = cells.RNNCell(D, H)
x, carry = torch.randn(1, D), cell.initial_carry(1)

projected = cell.project(x)
gates = cell.gates(projected, carry)
carry = cell.update(gates, carry)

W, U, b, c = cell.weight_x, cell.weight_h, cell.bias_x, cell.bias_h
by_hand = torch.tanh(x @ W + b + torch.zeros(1, H) @ U + c)
print(carry.h)
print(by_hand)

# %% [markdown]
# ## A character is a row of W
#
# Textbooks feed a character as a one-hot vector of length V: all zeros but for a single one. Its
# product with W picks one row of W, at the price of V·H multiplications by zero or one. Looking the
# row up gives the same numbers for nothing. Give a cell integers instead of vectors, and it does
# so.

# %%
V, H = 1000, 64
cell = cells.RNNCell(V, H)
ids = torch.tensor([[3], [141], [592]])

one_hot = torch.nn.functional.one_hot(ids, V).float()
print("one-hot input", tuple(one_hot.shape), "-", one_hot.numel(), "numbers")
print("ids          ", tuple(ids.shape), "-", ids.numel(), "numbers")
print("the same projection:", torch.allclose(cell.project(one_hot), cell.project(ids), atol=1e-6))

# %% [markdown]
# ## Over time
#
# Unrolling a cell is a loop that hands the state on. `rondeau.unroll` is that loop, with compiled
# kernels where they serve; the tests hold every kernel to the plain loop, and so do we:

# %%
T, B = 20, 2
ids = torch.randint(V, (T, B))
carry = cell.initial_carry(B)
outputs = []
for step in ids:
    carry = cell(step, carry)
    outputs.append(carry.h)

fast, last = rondeau.unroll(cell, ids, cell.initial_carry(B))
print("outputs", tuple(fast.shape))
print("largest difference:", float((fast - torch.stack(outputs)).detach().abs().max()))

# %% [markdown]
# ## The gradient on its way back
#
# What is predicted at step t may depend on something k steps earlier. To learn it, the loss at t
# must tell the state at t − k which way to move: its gradient must survive k passages through U and
# tanh. Autograd can be asked directly. We keep the memory of every step (h, or the c of an LSTM),
# take a random direction as the gradient of the last output, and measure what arrives k steps back.


# %%
def surviving(cell, steps=60):
    """Length of the gradient in the memory of each step, the last step first."""
    torch.manual_seed(1)
    cell = cell.double()
    carry, memories = cell.initial_carry(1), []
    for projected in cell.project(torch.randint(V, (steps, 1))):
        carry = cell.update(cell.gates(projected, carry), carry)
        memories.append(carry[-1])
    output = (carry.h * torch.randn(1, cell.hidden_size)).sum()
    gradients = torch.autograd.grad(output, memories)
    lengths = torch.stack([gradient.norm() for gradient in reversed(gradients)])
    return lengths / lengths[0]


def with_radius(radius):
    """An RNN cell whose U stretches a typical vector by `radius`, with quiet inputs."""
    torch.manual_seed(2)
    cell = cells.RNNCell(V, H)
    with torch.no_grad():
        cell.weight_h *= radius / torch.linalg.eigvals(cell.weight_h).abs().max()
        cell.weight_x *= 0.1
    return cell


figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
for radius, colour in zip((0.6, 1.0, 1.5, 2.0, 4.0), pictures.COLOURS, strict=False):
    axes.semilogy(surviving(with_radius(radius)), color=colour, label=f"radius of U: {radius}")
axes.set(xlabel="steps back", ylabel="gradient that is left", title="RNN cells")
_ = axes.legend()

# %% [markdown]
# A straight line on this scale is a constant factor a step. Below a radius of 1 the gradient
# **vanishes**; well above, it **explodes** (not from 1 on: tanh flattens large states, and takes
# some of the stretch back). In between lies a narrow band, which a few updates may leave. Freshly
# drawn weights, uniform in ±1/√H, have a radius near 0.58. Clipping the gradient's norm tames an
# explosion. It does nothing for what has vanished.
#
# ## Gates
#
# A GRU doesn't make its state anew. It mixes the old one with a candidate n:
#
# $$z = \sigma(x W_z + h U_z + b_z) \qquad h' = (1 - z) \odot n + z \odot h$$
#
# Where the update gate z is 1, the state passes unchanged, **and so does its gradient**. No matrix
# lies in between. An LSTM does the same for its memory with the forget gate: $c' = f \odot c + i
# \odot g$. Both gates are learned, unit by unit and character by character. We can open them by
# their bias and look:


# %%
def gated(kind, gate, bias):
    """A cell with a gate pushed open by a bias."""
    torch.manual_seed(2)
    cell = kind(V, H)
    first = cell.gate_names.index(gate) * H
    with torch.no_grad():
        cell.bias_x[first : first + H] += bias
    return cell


figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.semilogy(surviving(with_radius(0.58)), color=pictures.COLOURS[-1], label="RNN, as it is drawn")
for kind, gate, colour in ((cells.GRUCell, "z", 0), (cells.LSTMCell, "f", 2)):
    for bias, style in ((0, ":"), (2, "--"), (4, "-")):
        label = f"{kind.__name__[:-4]}, {gate} near {torch.sigmoid(torch.tensor(bias)):.2f}"
        curve = surviving(gated(kind, gate, bias))
        axes.semilogy(curve, style, color=pictures.COLOURS[colour], label=label)
axes.set(xlabel="steps back", ylabel="gradient that is left", title="Gated cells")
_ = axes.legend(ncols=2)

# %% [markdown]
# A gate that stands half open forgets nearly as fast as the RNN. Pushed open, it lets the gradient
# through for tens of steps. (The LSTM's may even grow: what c tells the gates by way of h comes on
# top.) What training has to find is where to open it: where there is something to keep.
#
# ## Three cells, one text
#
# Seventy Chinese songs come with Rondeau. Some are held out, whole, and never trained on. The three
# cells get the same hidden size, the same windows in the same order, and the same number of steps.

# %%
folder = Path(tempfile.mkdtemp())
models, histories = {}, {}
for name in ("rnn", "gru", "lstm"):
    config = rondeau.TrainConfig(
        cell=name,
        hidden=128,
        layers=1,
        dropout=0.3,
        lr=0.005,
        steps=STEPS,
        eval_every=25,
        threads=1,  # so small a model gains little by more
    )
    training = rondeau.train((), config, out=folder / name)
    histories[name] = list(training)
    models[name] = training.finish()
    print(f"{name:5}{models[name].model.parameter_count:>9,} weights, {training.step} steps")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="constrained")
for name, colour in zip(models, (7, 0, 2), strict=True):
    events = histories[name]
    looks = [event for event in events if event.held_out]
    colour = pictures.COLOURS[colour]
    left.plot([e.step for e in events], [e.loss for e in events], color=colour, label=name)
    right.plot([e.step for e in looks], [e.held_out.loss for e in looks], color=colour, label=name)
left.set(xlabel="step", ylabel="nats a character", title="On the songs that are trained on")
right.set(xlabel="step", title="On held-out songs")
_ = right.legend()

# %% [markdown]
# The two halves tell different stories. On the left the loss falls for as long as one cares to
# train; on the right it soon stops. What is learned after that is these songs by heart.
#
# ## How good is that?
#
# A perplexity of p means: as unsure as if it chose among p equally likely characters. It counts on
# **held-out** text, every character once, and it needs something to stand beside: here n-grams,
# which only count how often characters followed each other.

# %%
baselines = models["gru"].baselines().splits["validation"]
rows = [
    (f"{name}", model.evaluate(splits=["train", "validation"])) for name, model in models.items()
]
print("perplexity      on songs trained on    on held-out songs")
for name, (train, validation) in rows:
    print(f"{name:16}{train.perplexity:>18.1f}{validation.perplexity:>21.1f}")
for baseline in baselines:
    if "gram" in baseline.model:
        print(f"{baseline.model:16}{'':18}{baseline.perplexity:>21.1f}")

# %% [markdown]
# Read the right column. When this was written the GRU had 330 there, the LSTM 350, the RNN 382, and
# the best of the n-grams, which looks at one character, 368. Gates help; but from so few songs no
# model learns much that holds for a song it never saw, and more training only makes the left column
# smaller. The textbook's perplexities near 1 are of that kind: they say how well a text is known by
# heart.
#
# ## Writing
#
# A model gives a probability to every next character. **Greedy** decoding always takes the
# likeliest, and soon says the same thing again and again: its own words lead it to nearly the state
# in which it said them, and from there it can only go the same way.

# %%
model = models["gru"]
greedy = rondeau.DecodingConfig(greedy=True)
(sample,) = model.generate("分开", length=160, decoding=greedy)
print("分开" + sample.text)
lines = sample.text.split("\n")
print(f"\n{len(lines)} lines, {len(set(lines))} different ones; ended by: {sample.finish_reason}")

# %% [markdown]
# **Sampling** draws from the distribution. The temperature divides the logits: below 1 it plays
# safe, above 1 it is bold. `top_p` leaves out the unlikely rest that together would seldom be
# right.

# %%
for settings in ({"temperature": 0.5}, {"temperature": 0.8}, {"temperature": 1.0, "top_p": 0.9}):
    decoding = rondeau.DecodingConfig(**settings)
    (sample,) = model.generate("分开", length=60, decoding=decoding, seed=3)
    print(f"--- {settings}\n分开{sample.text}\n")

# %% [markdown]
# ## Going on
#
# - [cells.md](../cells.md): every cell's equations and picture, and where textbooks and their code
#   differ.
# - `rondeau reproduce`: the textbook's experiments with their own recipes.
# - [What the gates do](what-the-gates-do.py): inside a trained model.
