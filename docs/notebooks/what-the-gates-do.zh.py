# %% [markdown]
# # 门在做什么
#
# 门是 0 到 1 之间的数，每个神经元、每个字各有一个。这里用 Rondeau 自带的歌词训练一个 GRU，在它阅读时看看里面：门在一行文字上怎么动，神经元记得多久，把门固定住会损失什么，梯度能走多远。`rondeau inspect RUN` 可以为任何模型生成这样一页；这里每张图只要几行代码。在两个核上要三四分钟。

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
# ## 一个模型，以及学习过程中的门
#
# `gates=True`（命令行上是 `--gates`）会在每次查看留出的歌时，记下每个门有多少取值低于 0.1（关）、多少高于 0.9（开）。总是关着或总是开着的门，就不再是门了。

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
# 刚初始化的 GRU，所有的门都在一半附近：什么都混在一起。训练把门拉开，但要过很久，才会有许多门全开或全关。
#
# ## 一行文字
#
# `inspect` 读一首留出的歌，把一切都记下来：`passage` 的一行是一个字，一列是一个神经元。下面画出记得最久和最短的神经元的更新门。别忘了 z 的含义：**1 是留住**旧状态，**0 是换掉**它。

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
# 留意竖着的条纹：在那些字上，许多神经元同时放开了原先记着的东西。
#
# ## 时间常数
#
# 走过 T 步，一个神经元留下的是这些 z 的乘积。如果它像 $e^{-T/\tau}$ 那样缩小，那么 $\tau = -1/\overline{\ln z}$ 就是剩下约三分之一（1/e）所需的字数。

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
# 刚开始时所有神经元的时间尺度都差不多，是训练把它拉成了一片。
#
# ## 固定一个门
#
# 一个门有什么用，是可以量的：把它固定在某个值上，其余一概不动，数一数多花了多少比特。*固定在均值*，是让每个神经元的门停在它本来的平均值上：这时缺的只是它的**变化**。

# %%
ablation = inspection.ablation
print(f"as it is: {ablation.bits_per_character:.2f} bits a character\n")
for cost in ablation.costs:
    print(f"{cost.held.label:10} costs {cost.cost:6.2f} bits a character")

# %% [markdown]
# z = 1 把状态冻住：模型对读到的东西一无所知。z = 0 拿走了记忆，只剩候选递下来的那些。r = 0 让候选只看当前的字。固定了门也能写词：同样的开头，同样的种子，只有门不同：

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
# ## 梯度走多远
#
# $\partial\,\mathrm{loss}_t / \partial h_{t-k}$ 的长度，说明第 t 步的损失对 k 步之前的状态有多大要求。在同样的歌上，比较刚初始化的网络和训练之后的网络。

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
# 色带包含 80% 的位置。训练不只是利用门给出的路：在值得的地方把门打开，路也就变长了。
#
# ## 接下来
#
# - `rondeau inspect RUN` 把这些都写成一页，用在你自己的文本上。
# - [循环单元](../cells.zh.md)里有各种单元的公式和示意图。
# - 用 `--cell lstm` 训练，再用同样的办法看 f、i 和 o。
