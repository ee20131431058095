"""What may be asked, field by field: strict, and refused by name where it isn't known."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LENGTH = 4096
"""Characters that a request may ask for, of each text."""
TOKEN_ID = "Token id"
TokenId = Annotated[int, Field(ge=0, title=TOKEN_ID)]
Seed = Annotated[int, Field(ge=0, lt=2**53)]
StopText = Annotated[str, Field(min_length=1, max_length=100)]
BiasKey = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,6})$")]
Bias = Annotated[float, Field(ge=-100, le=100)]
ModelName = Annotated[str | None, Field(description="A model's id; default: the first one served")]


def whole(value: Any) -> Any:
    """A JSON value, 1.0 as the whole number that it is; ValueError for half a surrogate pair."""
    if isinstance(value, dict):
        return {key: whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("a text has half of a surrogate pair in it")
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Body(BaseModel):
    """Any request."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, value: Any) -> Any:
        return whole(value)


class Decoding(Body):
    """How the next character is chosen."""

    temperature: Annotated[float, Field(ge=0, le=100, description="0: the likeliest")] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1, le=2**31)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    logit_bias: Annotated[dict[BiasKey, Bias], Field(max_length=1000)] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None
    seed: Seed | None = None

    @property
    def stops(self) -> list[str]:
        """The stop texts."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []


class StreamOptions(Body):
    """What a stream tells beside the text."""

    include_usage: bool | None = None


class CompletionRequest(Decoding):
    """`POST /v1/completions`, as OpenAI has it, and top_k."""

    model: ModelName = None
    prompt: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=64)]
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[
            list[Annotated[list[TokenId], Field(min_length=1)]],
            Field(min_length=1, max_length=64),
        ]
        | None
    ) = ""
    max_tokens: Annotated[int, Field(ge=0, le=LENGTH)] | None = None
    n: Annotated[int, Field(ge=1, le=64)] | None = None
    best_of: Annotated[int, Field(ge=1, le=64, description="at least n")] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None


class Logprobs(BaseModel):
    """ln P of each token and of the likeliest ones there; null for the first of a prompt."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Choice(BaseModel):
    """One text."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None


class Usage(BaseModel):
    """Characters read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """The answer to a completion."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class ScoreRequest(Body):
    """`POST /v1/score`."""

    model: ModelName = None
    text: Annotated[str, Field(min_length=1, max_length=100_000)]


class Alternative(BaseModel):
    """A character that could stand there; empty for the end of the document."""

    character: str
    probability: float


class State(BaseModel):
    """The top layer after a character: hidden, at most 64 of its units from −1 (0) to 1 (255);
    gates, the mean of each by its name.
    """

    hidden: list[int]
    gates: dict[str, float]


class Character(BaseModel):
    """A character (empty for the end of the document) and its surprisal in bits."""

    character: str
    bits: float
    alternatives: list[Alternative]


class TracedCharacter(BaseModel):
    """A character of a session: bits and alternatives, or the state, where they were asked for."""

    character: str
    bits: float | None = None
    alternatives: list[Alternative] | None = None
    state: State | None = None


class Score(BaseModel):
    """The surprisal of a text, read as one document."""

    object: Literal["score"]
    model: str
    bits: float
    bits_per_character: float
    bits_per_byte: float
    unknown: list[str]
    characters: list[Character]


class InfillRequest(Body):
    """`POST /v1/infill`: at most 50 gaps."""

    model: ModelName = None
    text: Annotated[str, Field(min_length=1, max_length=2_000)]
    gap: Annotated[str, Field(min_length=1, max_length=1)] = "＿"
    num_samples: Annotated[int, Field(ge=1, le=64)] = 1
    beam: Annotated[int, Field(ge=1, le=64)] = 16
    temperature: Annotated[float, Field(gt=0, le=100)] | None = None
    seed: Seed = 0


class Filling(BaseModel):
    """A text with its gaps filled, what fills them, and its bits."""

    text: str
    filled: list[str]
    bits: float


class Infill(BaseModel):
    """Fillings, the likeliest first."""

    object: Literal["infill"]
    model: str
    fillings: list[Filling]


class NoveltyRequest(Body):
    """`POST /v1/novelty`."""

    model: ModelName = None
    text: str
    prefix: str = ""


class Span(BaseModel):
    """A copied run, and where it stands in the training text (both counted from 1)."""

    start: int
    length: int
    document: int
    line: int
    title: str


class Novelty(BaseModel):
    """What of a text stands verbatim in the training text."""

    object: Literal["novelty"]
    model: str
    characters: int
    least: int
    spans: list[Span]
    copied_share: float
    novel_share: dict[str, float]
    longest: Span | None


class TokenizeRequest(Body):
    """`POST /tokenize`, as vLLM has it."""

    model: ModelName = None
    prompt: str
    add_special_tokens: bool = True


class Tokens(BaseModel):
    """The ids of a text."""

    tokens: list[int]
    count: int
    max_model_len: int


class DetokenizeRequest(Body):
    """`POST /detokenize`."""

    model: ModelName = None
    tokens: list[TokenId]


class Detokenized(BaseModel):
    """The text of some ids."""

    prompt: str


class TokenizerInfo(BaseModel):
    """What the ids are: one a character, after three special ones."""

    tokenizer_class: Literal["CharTokenizer"]
    unk_token: str
    bos_token: str
    eos_token: str
    mask_token: str
    pad_token: None
    vocab_size: int
    characters: str


class ServedModel(BaseModel):
    """A run that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["rondeau"]
    objective: Literal["next", "cloze"]
    causal: bool
    capabilities: list[Literal["completions", "sessions", "score", "infill", "novelty"]]
    cell: str
    hidden: int
    layers: int
    parameters: int
    vocabulary: int
    whole_documents: bool
    max_length: int
    data: dict[str, Any]
    held_out: list[dict[str, Any]]
    verdict: list[str]
    report: str | None


class ModelList(BaseModel):
    """All of them."""

    object: Literal["list"]
    data: list[ServedModel]


class Health(BaseModel):
    """Whether the server takes requests."""

    status: Literal["ok", "stopping"]
    version: str


class SessionRequest(Body):
    """`POST /v1/sessions`."""

    model: ModelName = None
    text: str = ""


class Session(BaseModel):
    """A text with the state after it.

    length: its characters; bytes: what is kept of it; expires: seconds since 1970, put off by use.
    """

    id: str
    object: Literal["session"]
    model: str
    text: str
    length: int
    bytes: int
    created: int
    expires: int


class ContinueRequest(Decoding):
    """`POST /v1/sessions/{id}/continue`: read a text, then write.

    alternatives: how many are told of each character, with its bits; without it neither.
    """

    text: str = ""
    length: Annotated[int, Field(ge=0, le=LENGTH)] = 0
    alternatives: Annotated[int, Field(ge=0, le=20)] | None = None
    state: bool = False
    stream: bool = False


class Continuation(BaseModel):
    """What was added to a session, or with `stream` a part of it; what was given comes first.

    length: the session's, after it; seed: gives the same text again; characters: of `text`, where
    bits or states were asked for, and the document's end as a last one.
    """

    object: Literal["session.continuation"]
    session: str
    text: str
    length: int
    finish_reason: Literal["length", "stop", "end"] | None
    seed: int | None = None
    characters: list[TracedCharacter] | None = None


class ForkRequest(Body):
    """`POST /v1/sessions/{id}/fork`: another session, from a position or from the end."""

    position: Annotated[int, Field(ge=0)] | None = None


class UndoCharacters(Body):
    """`POST /v1/sessions/{id}/undo`: back by some characters."""

    characters: Annotated[int, Field(ge=1)] = 1


class UndoTo(Body):
    """`POST /v1/sessions/{id}/undo`: back to a position."""

    position: Annotated[int, Field(ge=0)]


class Deleted(BaseModel):
    """A session that is no more."""

    id: str
    object: Literal["session"]
    deleted: bool
