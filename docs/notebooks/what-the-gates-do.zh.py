# %% [markdown]
# # 门在做什么
#
# 门是 0 到 1 之间的数，每个神经元、每个字各有一个。这里用 Rondeau 自带的歌词训练一个 LSTM，在它阅读时看看里面：门在几行文字上怎么动，神经元记得多久，它用到了多少上文，把一个门固定住会损失什么，梯度能走多远。`rondeau inspect RUN` 可以为任何模型生成这样一页；这里每张图只要几行代码。大约一分钟跑完。公式见[循环单元](../cells.zh.md)。

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
# ## 学习过程中的门
#
# `gates=True`（命令行上是 `--gates`）会在每次查看留出的歌时，记下每个门有多少取值低于 0.1（关）、多少高于 0.9（开）。总是关着或总是开着的门，就不再是门了。

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
# 刚初始化的 LSTM，所有的门都在一半附近，不开也不关。它很快打开 f 和 i：读到什么都留着、都加起来。这正合最先能学到的东西，也就是每个字有多常见。之后各个门才开始区分不同的时刻，全开的也就少了。
#
# ## 几行文字
#
# `inspect` 读留出的歌，把一切都记下来。`passage` 的一行是一个字，一列是一个神经元。下面是记得最久的十二个和最短的十二个神经元的遗忘门：**1 留住**记忆 c，**0 丢掉**它。

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
# 留意竖着的条纹：在那些字上，许多神经元同时放手。换行处（↵）很显眼：快的神经元在行末丢掉手里的东西，其中几个又会抓住下一行开头的几个字。
#
# ## 神经元记得多久
#
# 走过 T 步，一个神经元留下的是这些 f 的乘积。如果它像 $e^{-T/\tau}$ 那样缩小，那么 $\tau = -1/\overline{\ln f}$ 就是剩下约三分之一（1/e）所需的字数。刚初始化时门在一半处，τ = 1.4。

# %%
constants = layer.time_constants
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.hist(constants, bins=30, color=COLOURS["f"])
axes.set(xlabel="time constant τ, characters", ylabel="units", title="How long the units remember")
print(f"half of the units below {np.median(constants):.1f}, the slowest {constants.max():.1f}")

# %% [markdown]
# 训练把记忆拉长了好几倍，大约有一行歌词那么长。有没有用是另一个问题。我们让模型在每个要预测的字之前只读最后 k 个字，从空的记忆开始，看多读一些能省下多少：

# %%
context = inspection.context
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.errorbar(context.lengths, context.whole.mean, context.whole.error, color=pictures.COLOURS[0])
axes.set_xscale("log", base=2)
axes.set(xlabel="characters that are read, k", ylabel="bits a character")
axes.set_xticks(context.lengths, [str(length) for length in context.lengths])
_ = axes.set_title("What the context is worth")

# %% [markdown]
# 读到八个字左右，不到一行，曲线就平了。一首歌往下怎么走，前文能透露的不止这些；只是两万个字太少，学不出来。（只读一个字时比数数还差：它几乎从没在一行中间开过头。）
#
# ## 固定一个门
#
# 一个门有什么用，是可以量的：把它固定在某个值上，其余一概不动，数一数多花了多少比特。*固定在均值*，是让每个神经元的门停在它本来的平均值上：这时缺的只是它的**变化**。

# %%
ablation = inspection.ablation
print(f"as it is: {ablation.bits_per_character:.2f} bits a character on held-out songs\n")
for cost in ablation.costs:
    print(f"{cost.held.label:9} costs {cost.cost:6.2f} bits a character, ± {cost.error:.2f}")

# %% [markdown]
# i = 0 或 o = 0 时，网络什么也看不到：代价就是它从上文知道的全部。f = 0 只留下 h 递给下一步的那些；f = 1 让它永远不忘，c 里的和越积越陈旧。固定在均值上，f 和 i 几乎没有代价：这个小模型需要它们*开到合适的程度*，每个神经元各不相同，却不怎么需要它们变化。必须变化的是 o：正是它决定把记忆里的什么展示给下一个字。
#
# 固定了一个门的模型仍是普通的模型，照样能写词。同样的开头，同样的种子，只有一个门不同：

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
# ## 梯度走多远
#
# $\partial\,\mathrm{loss}_t / \partial c_{t-k}$ 的长度，说明第 t 步的损失对 k 步之前的记忆有多大要求。在同样的歌上，比较刚初始化的网络和训练之后的网络。

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
# 色带包含 80% 的位置。刚初始化时，记忆每步减半，梯度也跟着减半：往回九步，剩下的不到百分之一。训练之后要三十步。门不只是给出一条路；打开了，路就更长，而更长的路能教会它更早的内容。
#
# ## 接下来
#
# - 换成 `cell="gru"` 再训练一次，用 z 和 r 代替 f、i、o 来看。我们试的时候，GRU 关上了更新门：十个 z 里有九个低于 0.1，z = 0 毫无代价。它留住的一切都经过候选，而在那里 r = 0 让每个字多花 2.1 比特。两者之中它还是更好的模型，8.4 比特对 8.6。门做的是文本要它做的事，而不是名字许诺的事。
# - `rondeau inspect RUN` 把这些都写成一页，用在你自己的文本上。
# - [从 RNN 到 GRU 和 LSTM](from-rnn-to-gru-and-lstm.zh.py) 从公式讲起。
