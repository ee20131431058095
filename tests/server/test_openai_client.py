"""OpenAI's own client, unchanged, against a server on a loopback port."""

import openai
import pytest


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=f"{served[1]}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_it_lists_the_models_and_completes_with_one(client):
    (model,) = client.models.list()
    assert client.models.retrieve(model.id).id == model.id == "run"
    answer = client.completions.create(model=model.id, prompt="猫", max_tokens=5, seed=1)
    assert answer.object == "text_completion"
    assert answer.usage.total_tokens == 1 + answer.usage.completion_tokens
    again = client.completions.create(model=model.id, prompt="猫", max_tokens=5, seed=1)
    assert again.choices[0].text == answer.choices[0].text


def test_it_streams_the_same_text(client):
    fields = {"model": "run", "prompt": "猫", "max_tokens": 30, "seed": 2}
    whole = client.completions.create(**fields).choices[0]
    parts = list(client.completions.create(**fields, stream=True))
    assert "".join(part.choices[0].text for part in parts) == whole.text
    assert parts[-1].choices[0].finish_reason == whole.finish_reason


def test_it_reads_logprobs(client):
    answer = client.completions.create(model="run", prompt="猫", max_tokens=4, logprobs=2, seed=1)
    told = answer.choices[0].logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs)
    assert all(top[token] <= 0 for token, top in zip(told.tokens, told.top_logprobs, strict=True))


def test_it_raises_its_own_errors(client):
    with pytest.raises(openai.NotFoundError) as not_found:
        client.completions.create(model="gpt", prompt="猫")
    assert not_found.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.completions.create(model="run", prompt="猫", suffix="了")
    assert bad.value.param == "suffix"
