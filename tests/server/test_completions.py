"""Completions: the library's own text, whoever asks beside it, told as OpenAI tells it."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import rondeau

SAMPLING = {"temperature": 0.8, "top_p": 0.95}


def complete(api, prompt="猫", **fields):
    answer = api.post("/v1/completions", json={"prompt": prompt, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(api, path="/v1/completions", **fields):
    """The objects of a stream."""
    with api.stream("POST", path, json={**fields, "stream": True}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


def expected(model, prompt, seed, length=40):
    decoding = rondeau.DecodingConfig(temperature=0.8, top_p=0.95)
    (sample,) = model.generate(prompt, length=length, decoding=decoding, seed=seed)
    return sample.text


@pytest.mark.parametrize("together", [1, 16])
def test_a_seeded_request_gives_the_text_of_generate_at_any_load(served, api, together):
    model, _ = served

    def ask(seed):
        return complete(api, seed=seed, max_tokens=40, **SAMPLING)["choices"][0]["text"]

    with ThreadPoolExecutor(together) as pool:
        found = list(pool.map(ask, range(together)))
    assert found == [expected(model, "猫", seed) for seed in range(together)]


def test_a_stream_is_the_same_text_in_parts(served, api):
    model, _ = served
    parts = events(api, prompt="猫", seed=3, max_tokens=40, **SAMPLING)
    assert "".join(part["choices"][0]["text"] for part in parts) == expected(model, "猫", 3)
    reasons = [part["choices"][0]["finish_reason"] for part in parts]
    assert reasons[-1] in ("stop", "length")
    assert set(reasons[:-1]) <= {None}


def test_a_stream_tells_usage_where_it_is_asked_for(api):
    parts = events(api, prompt="猫白", max_tokens=5, stream_options={"include_usage": True})
    assert parts[-1]["choices"] == []
    usage = parts[-1]["usage"]
    assert usage["prompt_tokens"] == 2
    assert usage["completion_tokens"] <= 5
    assert all(part["usage"] is None for part in parts[:-1])


def test_prompts_are_texts_or_ids_one_or_several(served, api):
    model, _ = served
    ids = model.tokenizer.encode("猫").tolist()
    for prompt in ("猫", ids, [1, *ids]):
        choice = complete(api, prompt, seed=3, max_tokens=40, **SAMPLING)["choices"][0]
        assert choice["text"] == expected(model, "猫", 3)
    for several in (["猫", "白"], [ids, model.tokenizer.encode("白").tolist()]):
        choices = complete(api, several, seed=3, max_tokens=40, **SAMPLING)["choices"]
        assert [c["index"] for c in choices] == [0, 1]
        assert [c["text"] for c in choices] == [expected(model, p, 3) for p in ("猫", "白")]


def test_n_texts_are_the_samples_of_generate(served, api):
    model, _ = served
    decoding = rondeau.DecodingConfig(temperature=0.8, top_p=0.95)
    samples = model.generate("猫", length=20, decoding=decoding, seed=2, num_samples=3)
    choices = complete(api, seed=2, n=3, max_tokens=20, **SAMPLING)["choices"]
    assert [c["text"] for c in choices] == [s.text for s in samples]
    parts = events(api, prompt="猫", seed=2, n=3, max_tokens=20, **SAMPLING)
    for index, sample in enumerate(samples):
        mine = [p["choices"][0] for p in parts if p["choices"][0]["index"] == index]
        assert "".join(c["text"] for c in mine) == sample.text


def test_the_best_of_several_has_the_greatest_mean(api):
    every = complete(api, seed=4, n=6, max_tokens=12, logprobs=0)["choices"]

    def mean(choice):
        nats = choice["logprobs"]["token_logprobs"]
        return sum(nats) / len(nats)

    best = complete(api, seed=4, n=2, best_of=6, max_tokens=12)["choices"]
    ranked = sorted(every, key=mean, reverse=True)[:2]
    assert [c["text"] for c in best] == [c["text"] for c in ranked]
    assert [c["index"] for c in best] == [0, 1]
    parts = events(api, prompt="猫", seed=4, n=2, best_of=6, max_tokens=12)
    assert [p["choices"][0]["text"] for p in parts] == [c["text"] for c in best]


def test_a_stop_ends_a_text_and_is_no_part_of_it_streamed_or_not(api):
    fields = {"seed": 5, "max_tokens": 60, "logit_bias": {"1": -100}, **SAMPLING}
    whole = complete(api, **fields)["choices"][0]["text"]
    for stop in (whole[4:6], whole[3:9], [whole[5], "龙"]):
        wanted = whole[: whole.find(stop if isinstance(stop, str) else stop[0])]
        choice = complete(api, stop=stop, **fields)["choices"][0]
        assert (choice["text"], choice["finish_reason"]) == (wanted, "stop")
        parts = events(api, prompt="猫", stop=stop, **fields)
        assert "".join(p["choices"][0]["text"] for p in parts) == wanted


def test_the_beginning_of_a_stop_is_not_sent_before_it_is_decided(served, api):
    model, _ = served
    forced = {str(int(model.tokenizer.encode(c)[0])): 100 for c in "猫"}
    parts = events(
        api, prompt="", stop="猫猫猫猫狗", max_tokens=9, temperature=0, logit_bias=forced
    )
    texts = [part["choices"][0]["text"] for part in parts]
    assert "".join(texts) == "猫" * 9


def test_an_echo_stands_before_the_text(api):
    plain = complete(api, "猫白", seed=1, max_tokens=8)["choices"][0]
    echoed = complete(api, "猫白", seed=1, max_tokens=8, echo=True)["choices"][0]
    assert echoed["text"] == "猫白" + plain["text"]
    parts = events(api, prompt="猫白", seed=1, max_tokens=8, echo=True)
    assert "".join(p["choices"][0]["text"] for p in parts) == echoed["text"]


def test_logprobs_are_ln_p_by_the_model_and_offsets_spell_the_text(served, api):
    model, _ = served
    fields = {"seed": 6, "max_tokens": 10, "logprobs": 2, "echo": True, **SAMPLING}
    choice = complete(api, "猫白", **fields)["choices"][0]
    told = choice["logprobs"]
    assert "".join(t for t in told["tokens"] if t != "<bos>") == choice["text"]
    for token, offset in zip(told["tokens"], told["text_offset"], strict=True):
        assert choice["text"].startswith(token.replace("<bos>", ""), offset)
    ids = [1, *model.tokenizer.encode("".join(t for t in told["tokens"] if len(t) == 1))]
    with torch.no_grad():
        logits, _ = model.model(torch.tensor(ids)[:, None], model.model.initial_carry(1))
    nats = torch.log_softmax(logits[:, 0].double(), -1)
    assert told["token_logprobs"][0] is None
    assert told["top_logprobs"][0] is None
    for at in range(1, len(ids) - 1):
        assert told["token_logprobs"][at] == pytest.approx(float(nats[at, ids[at + 1]]), abs=1e-5)
        assert told["top_logprobs"][at][told["tokens"][at]] == told["token_logprobs"][at]
        assert 2 <= len(told["top_logprobs"][at]) <= 3
    # In parts they are the same.
    parts = [p["choices"][0]["logprobs"] for p in events(api, prompt="猫白", **fields)]
    for name, values in told.items():
        assert [v for part in parts for v in part[name]] == values


def test_no_tokens_may_be_asked_for(api):
    choice = complete(api, "猫白", max_tokens=0, echo=True, logprobs=1)["choices"][0]
    assert choice["text"] == "猫白"
    assert len(choice["logprobs"]["tokens"]) == 2
    assert choice["finish_reason"] == "length"
    parts = events(api, prompt="猫白", max_tokens=0, echo=True)
    assert "".join(p["choices"][0]["text"] for p in parts) == "猫白"
    assert complete(api, "猫白", max_tokens=0)["choices"][0]["text"] == ""


def test_the_end_of_a_document_is_a_token_without_text(served, api):
    end = {"1": 100}
    answer = complete(api, "猫", max_tokens=5, temperature=0, logit_bias=end, logprobs=0)
    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("", "stop")
    assert choice["logprobs"]["tokens"] == ["<bos>"]
    assert answer["usage"]["completion_tokens"] == 1


def test_an_unknown_character_costs_what_telling_it_costs(served, api):
    model, _ = served
    told = complete(api, "猫龙", max_tokens=0, echo=True, logprobs=1)["choices"][0]["logprobs"]
    cost = -told["token_logprobs"][1] / math.log(2)
    assert told["tokens"][1] == "龙"
    assert cost == pytest.approx(model.score("猫龙").characters[1].bits, abs=1e-5)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": "了"}, "suffix"),
        ({"functions": []}, "functions"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"logprobs": 6}, "logprobs"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"prompt": [10**6]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"n": 0}, "n"),
        ({"stream_options": {"include_everything": True}}, "stream_options"),
    ],
    ids=str,
)
def test_what_is_not_supported_is_refused_by_name(api, fields, param):
    answer = api.post("/v1/completions", json={"prompt": "猫", **fields})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == param
    assert param in error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_model_that_is_not_there_is_not_found(api):
    answer = api.post("/v1/completions", json={"prompt": "猫", "model": "gpt"})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


def test_a_model_of_both_directions_says_what_it_can(cloze_run, backwards_run):
    import httpx

    from conftest import listening

    models = [rondeau.load(path) for path in (cloze_run, backwards_run)]
    with listening(*models) as (address, _), httpx.Client(base_url=address) as api:
        can = {m["id"]: m["capabilities"] for m in api.get("/v1/models").json()["data"]}
        assert "infill" in can["cloze"]
        assert not {"completions", "sessions", "score", "infill"} & set(can["both"])
        for path in ("/v1/completions", "/v1/sessions", "/v1/score"):
            answer = api.post(path, json={"prompt": "猫"} if "comp" in path else {"text": "猫"})
            assert answer.status_code == 400, path
            assert "infill" in answer.json()["error"]["message"]
        filled = api.post("/v1/infill", json={"text": "猫白大＿了\n大白猫走了"}).json()
        assert filled["fillings"][0]["filled"] == ["来"]
