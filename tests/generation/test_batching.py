"""Many texts at once: each is what it would be alone, whenever it joins and whoever leaves."""

import numpy as np
import pytest
import torch

import rondeau
from rondeau.generation import batching
from rondeau.generation.batching import Batch
from rondeau.generation.trace import trace
from rondeau.network.cells import carry_parts

SETTINGS = [
    {"temperature": 0.7},
    {"top_k": 3},
    {"top_p": 0.8, "temperature": 1.3},
    {"greedy": True},
    {"presence_penalty": 1.5, "frequency_penalty": 0.5},
]


@pytest.fixture(scope="module")
def model(run):
    return rondeau.load(run)


def prompts(model, **settings):
    return [
        model.prompt(
            "猫白"[: number % 3],
            length=10 + 7 * number,
            decoding=rondeau.DecodingConfig(**SETTINGS[number % len(SETTINGS)]),
            seed=number,
            **settings,
        )
        for number in range(9)
    ]


def texts(model, batch, steps=8, joining=()):
    """What a batch writes, by prompt; the others join one a turn."""
    joining, found = list(joining), {}
    while batch.busy or joining:
        if joining:
            batch.add(joining.pop(0))
        for update in batch.turn(steps):
            if update.stream is not None:
                ids = found.setdefault(update.prompt, [])
                ids.extend(update.ids.tolist())
    return {prompt: model.tokenizer.decode(ids) for prompt, ids in found.items()}


@pytest.mark.parametrize("steps", [1, 5, 32])
def test_a_text_is_what_generate_writes_with_its_seed_whenever_it_joins(model, steps):
    asked = prompts(model)
    found = texts(model, model.batch(), steps, joining=asked)
    for number, prompt in enumerate(asked):
        (alone,) = model.generate(
            "猫白"[: number % 3],
            length=prompt.length,
            decoding=rondeau.DecodingConfig(**SETTINGS[number % len(SETTINGS)]),
            seed=number,
        )
        assert found[prompt] == alone.text


def test_a_prompt_that_is_cancelled_leaves_the_others_as_they_are(model):
    asked = prompts(model)
    batch, whole = model.batch(), texts(model, model.batch(), joining=asked)
    for prompt in asked:
        batch.add(prompt)
    found = {prompt: [] for prompt in asked}
    for turn in range(100):
        for update in batch.turn(4):
            if update.stream is not None:
                found[update.prompt].extend(update.ids.tolist())
        if turn == 1:
            for gone in asked[::2]:
                batch.cancel(gone)
            assert batch.rows <= len(asked[1::2])
    assert not batch.busy
    for prompt in asked[1::2]:
        assert model.tokenizer.decode(found[prompt]) == whole[prompt]


def test_a_long_prompt_is_read_in_windows_between_the_steps_of_others(model, monkeypatch):
    monkeypatch.setattr(batching, "WINDOW", 8)
    monkeypatch.setattr(batching, "READ", 16)
    batch = model.batch()
    long, short = model.prompt("猫白大来了" * 20), model.prompt("", length=60, bias={1: -100.0})
    batch.add(short)
    batch.add(long)
    turns = [batch.turn(4) for _ in range(5)]
    read = [[len(u.ids) for u in updates if u.prompt is long] for updates in turns]
    assert read[1:] == [[8, 8]] * 4
    assert all(any(u.prompt is short for u in updates) for updates in turns)


def test_the_state_after_a_text_is_the_same_read_or_written(model):
    for end in ({"length": 20}, {"length": 400, "stops": ["了"]}, {"length": 400}):
        batch = model.batch()
        batch.add(model.prompt("猫", seed=3, keep=True, **end))
        updates = []
        while batch.busy:
            updates += batch.turn(8)
        written = [i for u in updates for i in u.ids.tolist() if i != 1]
        again = model.batch()
        again.add(model.prompt(np.array(written), keep=True))
        (read,) = again.turn(1)
        for mine, theirs in zip(
            carry_parts(updates[-1].carry), carry_parts(read.carry), strict=True
        ):
            assert (mine == theirs).all()


def test_what_is_told_is_the_models_own_distribution(model):
    decoding = rondeau.DecodingConfig(temperature=2.0, top_k=4, presence_penalty=1.0)
    batch = model.batch()
    batch.add(model.prompt("猫白", length=12, decoding=decoding, seed=5, told=3, tell=True))
    updates = []
    while batch.busy:
        updates += batch.turn(5)
    ids = np.concatenate([u.ids for u in updates])
    told = [np.concatenate(part) for part in zip(*(u.told for u in updates), strict=True)]
    model.model.backend = "reference"
    rows = torch.tensor([1, *ids[:-1].tolist()])[:, None]
    logits, _ = model.model(rows, model.model.initial_carry(1))
    model.model.backend = "auto"
    nats = torch.log_softmax(logits[:, 0].double(), -1).detach().numpy()
    assert told[0] == pytest.approx(nats[np.arange(len(ids)), ids], abs=1e-5)
    nats[:, [0, 2]] = -np.inf
    assert told[2] == pytest.approx(-np.sort(-nats, 1)[:, :3], abs=1e-5)
    assert (told[1] == np.argsort(-nats, 1, kind="stable")[:, :3]).mean() > 0.9


def test_what_is_told_of_the_likeliest_is_the_same_number_twice(model):
    batch = model.batch()
    greedy = rondeau.DecodingConfig(greedy=True)
    batch.add(model.prompt("", length=30, decoding=greedy, told=1))
    while batch.busy:
        for update in batch.turn(7):
            if update.told is not None:
                assert (update.told.nats == update.told.likely_nats[:, 0]).all()
                assert (update.ids == update.told.likely[:, 0]).all()


def test_a_bias_adds_to_logits_and_penalties_count_what_is_written(model):
    cat = int(model.tokenizer.encode("猫")[0])
    greedy = rondeau.DecodingConfig(greedy=True)
    asked = model.prompt("", length=5, decoding=greedy, bias={cat: 100.0})
    assert texts(model, model.batch(), joining=[asked])[asked] == "猫" * 5
    shy = rondeau.DecodingConfig(greedy=True, frequency_penalty=30.0)
    asked = model.prompt("", length=4, decoding=shy, bias={cat: 100.0})
    # 100, 70, 40, 10 and then 猫 is behind what the model likes by itself.
    assert texts(model, model.batch(), joining=[asked])[asked] == "猫" * 4
    once = rondeau.DecodingConfig(greedy=True, presence_penalty=100.0)
    asked = model.prompt("", length=6, decoding=once)
    text = texts(model, model.batch(), joining=[asked])[asked]
    assert len(set(text)) == len(text)


def test_a_trace_has_the_states_and_gates_of_the_equations(model):
    ids = torch.from_numpy(model.tokenizer.encode("猫白大来了"))
    start = Batch(model.model).start
    found = trace(model.model, ids, start)
    (cell,) = model.model.stack.cells[0]
    carry = start[0][0]
    with torch.no_grad():
        for at, row in enumerate(cell.weight_x[ids] + cell.bias_x):
            gates = cell.gates(row[None], carry)
            carry = cell.update(gates, carry)
            assert torch.allclose(found.h[at], carry.h[0], atol=1e-6)
            assert float(found.gates["z"][at]) == pytest.approx(float(gates.z.mean()), abs=1e-6)
    assert found.gates.keys() == {"r", "z", "n"}
