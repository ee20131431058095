"""What lm-evaluation-harness reads off completions is what `rondeau evaluate` says.

The requests and their reading are those of its `local-completions` with the remote tokenizer
(0.4.13), written again; `make test-lm-eval` runs the real one.
"""

import math
from itertools import pairwise

import pytest

import rondeau
from conftest import RHYMES, SMALL, listening


class Harness:
    """Its side of the wire."""

    def __init__(self, api):
        self.api = api
        info = api.get("/tokenizer_info").json()
        self.prefix = self.encode(info["bos_token"])[0]

    def encode(self, text):
        body = {"prompt": text, "add_special_tokens": False}
        return self.api.post("/tokenize", json=body).json()["tokens"]

    def decode(self, tokens):
        return self.api.post("/detokenize", json={"tokens": tokens}).json()["prompt"]

    def loglikelihood(self, pairs):
        """ln P of continuations after contexts, both ids, and whether each is the likeliest."""
        body = {
            "model": "tail", "prompt": [[*before, *after] for before, after in pairs],
            "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True,
        }  # fmt: skip
        answer = self.api.post("/v1/completions", json=body)
        assert answer.status_code == 200, answer.text
        choices = sorted(answer.json()["choices"], key=lambda choice: choice["index"])
        found = []
        for choice, (context, _) in zip(choices, pairs, strict=True):
            told = choice["logprobs"]
            nats = told["token_logprobs"][len(context) : -1]
            tops = told["top_logprobs"][len(context) : -1]
            greedy = all(n == max(top.values()) for n, top in zip(nats, tops, strict=True))
            found.append((sum(nats), greedy))
        return found

    def rolling(self, text, window):
        """ln P of a text, in windows with one token of context."""
        tokens = [self.prefix, *self.encode(text)]
        edges = [*range(1, len(tokens), window), len(tokens)]
        pairs = [(tokens[a - 1 : a], tokens[a:b]) for a, b in pairwise(edges)]
        return sum(nats for nats, _ in self.loglikelihood(pairs))


@pytest.fixture(scope="module")
def tail(tmp_path_factory, rhymes):
    """A run of one text without documents, with characters that training never saw."""
    folder = tmp_path_factory.mktemp("tail")
    (folder / "text.txt").write_text("\n".join(RHYMES) + "\n龙马来了\n猫和龙走了", encoding="utf-8")
    config = rondeau.TrainConfig(**SMALL, split="tail", steps=40)
    rondeau.train(folder / "text.txt", config, out=folder / "tail").finish()
    return rondeau.load(folder / "tail")


@pytest.fixture(scope="module")
def harness(tail):
    import httpx

    with listening(tail) as (address, _), httpx.Client(base_url=address, timeout=60) as api:
        yield Harness(api)


def test_a_text_has_the_bits_per_byte_of_evaluate(tail, harness):
    ((_, documents),) = tail.texts(splits=["validation"])
    (text,) = documents
    (evaluation,) = tail.evaluate(splits=["validation"])
    assert evaluation.unknown > 0
    bits = -harness.rolling(text, window=10**6) / math.log(2) / len(text.encode())
    assert bits == pytest.approx(evaluation.bits_per_byte, abs=1e-6)


def test_a_whole_document_with_its_end_has_the_bits_of_evaluate(served, api):
    model, _ = served
    harness = Harness(api)
    harness.api = api
    ids = harness.encode("猫白大来了")
    body = {
        "prompt": [1, *ids, 1], "temperature": 0, "max_tokens": 1, "logprobs": 1, "echo": True,
    }  # fmt: skip
    told = api.post("/v1/completions", json=body).json()["choices"][0]["logprobs"]
    assert len(told["tokens"]) == len(ids) + 3
    bits = -sum(told["token_logprobs"][1:-1]) / math.log(2)
    assert bits == pytest.approx(model.score("猫白大来了").bits, abs=1e-5)


def test_the_likeliest_continuation_is_known_as_such(tail, harness):
    greedy = rondeau.DecodingConfig(greedy=True)
    (sample,) = tail.generate("猫", length=4, decoding=greedy)
    context = [harness.prefix, *harness.encode("猫")]
    other = harness.encode("走走走走")
    found = harness.loglikelihood([(context, harness.encode(sample.text)), (context, other)])
    assert found[0][1] is True
    assert found[1][1] is False
    assert found[0][0] > found[1][0]


def test_exactly_one_token_is_written_whatever_it_is(served, api):
    end = {"1": 100}
    body = {"prompt": "猫", "max_tokens": 1, "logprobs": 1, "echo": True, "logit_bias": end}
    told = api.post("/v1/completions", json=body).json()["choices"][0]["logprobs"]
    assert told["tokens"] == ["猫", "<bos>"]


def test_ids_and_texts_go_back_and_forth(harness):
    ids = harness.encode("猫白\n大")
    assert len(ids) == 4
    assert harness.decode(ids) == "猫白\n大"
    assert harness.prefix == 1
    assert harness.decode([1, *harness.encode("猫"), 1]) == "猫"
    assert harness.decode(harness.encode("龙")) == "\ufffd"
