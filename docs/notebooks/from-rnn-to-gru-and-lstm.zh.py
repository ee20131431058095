# %% [markdown]
# # 从 RNN 到 GRU 和 LSTM
#
# 从循环单元的公式走到会写词的模型，用的文本小得可以全程看着它学。公式和示意图在[循环单元](../cells.zh.md)一页，这里让它们跑起来。一两分钟跑完。
#
# 记号：T 是步数，B 是同时处理的文本路数，D 是输入的长度，H 是状态的长度，V 是词表的大小。

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
# ## 手算一步
#
# 单元把输入 x 和状态 h 变成下一个状态。最简单的循环单元只有一行：
#
# $$h' = \tanh(x W + b + h U + c)$$
#
# 向量都是行向量，所以 W 是 (D, H)，U 是 (H, H)。在 Rondeau 里，每个单元都由三个短小的方法组成：`project`（输入的贡献，x W + b）、`gates`（所有要经过压缩函数的量）和 `update`（下一个状态）。

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
# ## 一个字就是 W 的一行
#
# 教科书把一个字写成长为 V 的独热向量：只有一个 1，其余全是 0。它与 W 的乘积挑出 W 的一行，代价却是 V·H 次乘 0 或乘 1。直接取出那一行，结果相同，几乎不花工夫。给单元整数而不是向量，它就这么做。

# %%
V, H = 1000, 64
cell = cells.RNNCell(V, H)
ids = torch.tensor([[3], [141], [592]])

one_hot = torch.nn.functional.one_hot(ids, V).float()
print("one-hot input", tuple(one_hot.shape), "-", one_hot.numel(), "numbers")
print("ids          ", tuple(ids.shape), "-", ids.numel(), "numbers")
print("the same projection:", torch.allclose(cell.project(one_hot), cell.project(ids), atol=1e-6))

# %% [markdown]
# ## 沿时间展开
#
# 展开一个单元，就是用循环把状态一步步交下去。`rondeau.unroll` 就是这个循环，能用编译好的内核时就用内核；测试保证每个内核都与最朴素的循环一致，我们也来对一下：

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
# ## 往回走的梯度
#
# 第 t 步要预测的东西，可能取决于 k 步之前的内容。要学会这一点，第 t 步的损失就得告诉第 t − k 步的状态该往哪边动：它的梯度要穿过 U 和 tanh 整整 k 次而不消失。这件事可以直接问自动微分。我们留下每一步的记忆（h，对 LSTM 则是 c），取一个随机方向作为最后一步输出的梯度，看 k 步之前还剩多少。


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
# 在对数坐标上，直线就意味着每步乘上一个固定的倍数。谱半径小于 1，梯度**消失**；明显大于 1，梯度**爆炸**（并不是一过 1 就爆炸：状态大了，tanh 变平，会抵消一部分拉伸）。两者之间只有窄窄一带，几次更新就可能走出去。刚初始化的权重在 ±1/√H 内均匀分布，谱半径约为 0.58。裁剪梯度的范数能制住爆炸，对已经消失的梯度却无能为力。
#
# ## 门
#
# GRU 不是每一步都重做状态，而是把旧状态与候选 n 混合起来：
#
# $$z = \sigma(x W_z + h U_z + b_z) \qquad h' = (1 - z) \odot n + z \odot h$$
#
# 更新门 z 为 1 的地方，状态原样通过，**梯度也一样**，中间没有矩阵。LSTM 用遗忘门对它的记忆做同样的事：$c' = f \odot c + i \odot g$。这两个门都是学出来的，每个神经元、每个字都可以不同。我们先用偏置把它们推开，看看会怎样：


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
# 半开的门忘得几乎和 RNN 一样快；推开之后，梯度能走几十步。（LSTM 的甚至会变大：c 通过 h 告诉各个门的那一份还要加上去。）训练要找的，就是该在哪里开门：在有东西值得留住的地方。
#
# ## 三种单元，同一份文本
#
# Rondeau 自带七十首中文歌词。其中一些整首留出，训练时从不看。三种单元用同样的隐藏长度、同样顺序的同样窗口，训练同样多的步数。

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
# 左右两图说的是两回事。左边只要肯训练，损失就一直往下走；右边很快就停了。在那之后学到的，是把这些歌背下来。
#
# ## 这算好吗
#
# 困惑度为 p，意思是：犹豫的程度相当于在 p 个同样可能的字里挑一个。要算数，就得在**留出**的文本上、每个字都数一次；还得有东西可比：这里用 n 元模型，它们只是数一数字与字前后相接的次数。

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
# 看右边那一列。写下这段话时，GRU 是 330，LSTM 是 350，RNN 是 382，而 n 元模型里最好的、只看前一个字的那个是 368。门确实有用；但歌这么少，没有哪个模型能学到多少对没见过的歌也成立的东西，再多训练也只是让左边那一列变小。教科书里接近 1 的困惑度就属于左边这种：它说的是一份文本背得有多熟。
#
# ## 写词
#
# 模型给每个可能的下一个字一个概率。**贪心**解码总是取最可能的那个，很快就翻来覆去说同样的话：自己说过的话又把它带回差不多的状态，从那里出发，它只会走同一条路。

# %%
model = models["gru"]
greedy = rondeau.DecodingConfig(greedy=True)
(sample,) = model.generate("分开", length=160, decoding=greedy)
print("分开" + sample.text)
lines = sample.text.split("\n")
print(f"\n{len(lines)} lines, {len(set(lines))} different ones; ended by: {sample.finish_reason}")

# %% [markdown]
# **采样**则按分布抽取。温度是 logits 的除数：低于 1 求稳，高于 1 大胆。`top_p` 去掉那些加起来也很少会对的小概率字。

# %%
for settings in ({"temperature": 0.5}, {"temperature": 0.8}, {"temperature": 1.0, "top_p": 0.9}):
    decoding = rondeau.DecodingConfig(**settings)
    (sample,) = model.generate("分开", length=60, decoding=decoding, seed=3)
    print(f"--- {settings}\n分开{sample.text}\n")

# %% [markdown]
# ## 接下来
#
# - [循环单元](../cells.zh.md)：每种单元的公式和示意图，以及教材的公式与代码不一致的地方。
# - `rondeau reproduce`：按原来的设置重做教科书里的实验。
# - [门在做什么](what-the-gates-do.zh.py)：走进一个训练好的模型。
