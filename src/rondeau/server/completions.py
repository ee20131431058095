"""`POST /v1/completions`, as OpenAI's clients and the evaluation harnesses ask it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from rondeau.config import DecodingConfig
from rondeau.generation.batching import Update
from rondeau.server.choices import Logprobs, Writing, character
from rondeau.server.context import Context
from rondeau.server.engine import Engine, Ticket
from rondeau.server.errors import ApiError, declared
from rondeau.server.events import DOCUMENTED, EventStream, Json
from rondeau.server.models import Served
from rondeau.server.schemas import Completion, CompletionRequest, Decoding
from rondeau.text.tokenizer import BOS, Ids

MAX_TOKENS = 16
"""Characters that are written where nothing is said, as OpenAI has it."""
SEEDS = 2**32


def routes(context: Context) -> APIRouter:
    """The route of one server."""
    router = APIRouter(tags=["OpenAI"])

    @router.post(
        "/v1/completions",
        response_model=Completion,
        responses={200: {"content": DOCUMENTED}, **declared(400, 404, 408, 413, 415, 429, 504)},
    )
    async def create_completion(body: CompletionRequest, request: Request) -> Response:
        """Continue one prompt or several."""
        answer = _Completing(context, body)
        if body.stream:
            # Refused here if at all: a stream's status is sent before its first event.
            ticket = answer.submit()
            return EventStream(answer.events(ticket), lambda: answer.engine.release(ticket))
        return Json(await context.answer(request, answer.whole()))

    return router


def decoding_of(body: Decoding, served: Served) -> tuple[DecodingConfig, dict[int, float]]:
    """The settings of a body, OpenAI's where it says nothing, and what is added to logits."""
    temperature = 1.0 if body.temperature is None else body.temperature
    bias = {int(index): value for index, value in (body.logit_bias or {}).items()}
    if any(index >= len(served.model.tokenizer) for index in bias):
        raise _outside("logit_bias", served)
    config = DecodingConfig(
        temperature=temperature or 1.0,
        greedy=temperature == 0,
        top_k=body.top_k,
        top_p=body.top_p,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
    )
    return config, bias


def _outside(field: str, served: Served) -> ApiError:
    message = f"{field}: an id is outside the vocabulary of {len(served.model.tokenizer)}"
    return ApiError(400, message, param=field)


class _Text:
    """One of the prompts: its characters and ids, and what has been read of it."""

    def __init__(self, served: Served, given: str | list[int]) -> None:
        tokenizer = served.model.tokenizer
        if isinstance(given, str):
            self.characters = list(served.model.normalise(given))
            self.ids: Ids = tokenizer.encode("".join(self.characters))
        else:
            if any(index >= len(tokenizer) for index in given):
                raise _outside("prompt", served)
            self.ids = np.array(given, np.int64)
            self.characters = [character(tokenizer, index) for index in given]
        self.begins = bool(len(self.ids)) and self.ids[0] == BOS
        self.updates: list[Update] = []

    def logprobs(self, served: Served, count: int) -> Logprobs:
        """What is told of all its tokens; of the first one, after which there is nothing, null."""
        result = Logprobs(served.model.tokenizer)
        if self.begins:
            result.add(self.characters[:1], self.ids[:1], None, count)
        at = len(result.tokens)
        for update in self.updates:
            stop = at + len(update.ids)
            result.add(self.characters[at:stop], self.ids[at:stop], update.told, count)
            at = stop
        if result.nats:
            result.nats[0] = result.top[0] = None
        return result


class _Completing:
    """One request."""

    def __init__(self, context: Context, body: CompletionRequest) -> None:
        """Check it, and make its prompts; ApiError for what can't be served."""
        self.body = body
        self.context = context
        self.served = context.models.get(body.model)
        self.engine: Engine = self.served.writer()
        self.n = body.n or 1
        self.best_of = max(self.n, body.best_of or 1)
        length = MAX_TOKENS if body.max_tokens is None else body.max_tokens
        self.told = -1 if body.logprobs is None else body.logprobs
        telling = 0 if self.told < 0 and self.best_of > self.n else self.told
        decoding, bias = decoding_of(body, self.served)
        seed = secrets.randbelow(SEEDS) if body.seed is None else body.seed
        self.texts = [_Text(self.served, given) for given in _prompts(body)]
        self.prompts = [
            self.served.model.prompt(
                text.ids,
                length=length,
                decoding=decoding,
                seed=seed,
                num_samples=self.best_of,
                stops=body.stops,
                bias=bias,
                told=telling,
                tell=bool(body.echo) and self.told >= 0,
            )
            for text in self.texts
        ]
        self.number = {prompt: number for number, prompt in enumerate(self.prompts)}
        self.head = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self.served.name,
        }
        tokenizer = self.served.model.tokenizer
        self.writings = [
            [Writing(tokenizer, prompt, number * self.n + i) for i in range(self.best_of)]
            for number, prompt in enumerate(self.prompts)
        ]

    def submit(self) -> Ticket:
        """Ask for a place."""
        return self.engine.submit(self.prompts)

    def take(self, update: Update) -> Writing | None:
        """An update to the text that it is of."""
        number = self.number[update.prompt]
        if update.stream is None:
            self.texts[number].updates.append(update)
            return None
        writing = self.writings[number][update.stream]
        writing.take(update)
        return writing

    async def whole(self) -> dict[str, Any]:
        """The answer at once."""
        ticket = self.submit()
        try:
            async for updates in ticket.turns():
                for update in updates:
                    self.take(update)
        finally:
            self.engine.release(ticket)
        return {**self.head, "choices": self._best(), "usage": self._usage()}

    def _best(self) -> list[dict[str, Any]]:
        """The n best of each prompt's texts, best first, once they are complete."""
        choices = []
        for number, (text, writings) in enumerate(zip(self.texts, self.writings, strict=True)):
            best = writings
            if self.best_of > self.n:
                best = sorted(writings, key=lambda w: -w.mean)[: self.n]
            for i, writing in enumerate(best):
                writing.index = number * self.n + i
                choices.append(self._choice(writing, text, first=True))
        return choices

    async def events(self, ticket: Ticket) -> AsyncIterator[dict[str, Any]]:
        """The answer as it is written; the best of several at the end."""
        options = self.body.stream_options
        usage = bool(options and options.include_usage)
        head = {**self.head, "usage": None} if usage else self.head
        begun: set[int] = set()
        async with self.context.in_time():
            async for updates in ticket.turns():
                changed = self._changed(updates)
                for writing in changed if self.best_of == self.n else ():
                    text = self.texts[self.number[writing.prompt]]
                    choice = self._choice(writing, text, first=writing.index not in begun)
                    begun.add(writing.index)
                    if choice["text"] or choice["finish_reason"]:
                        yield {**head, "choices": [choice]}
        if self.best_of > self.n:
            for choice in self._best():
                yield {**head, "choices": [choice]}
        if usage:
            yield {**self.head, "choices": [], "usage": self._usage()}

    def _changed(self, updates: Sequence[Update]) -> list[Writing]:
        """The texts that updates are of, each once: a slow reader gets several turns together."""
        changed: dict[int, Writing] = {}
        for update in updates:
            writing = self.take(update)
            if writing is not None:
                changed[writing.index] = writing
            elif update.finish_reason and not update.prompt.length:
                for empty in self.writings[self.number[update.prompt]]:
                    changed[empty.index] = empty
        return list(changed.values())

    def _choice(self, writing: Writing, text: _Text, *, first: bool) -> dict[str, Any]:
        """What of a text is new, its prompt before it where that was asked for."""
        logprobs, before = None, ""
        echo = first and bool(self.body.echo)
        if echo:
            before = "".join(text.characters)
        if self.told >= 0:
            offset = len(before) if first else writing.offset
            logprobs = Logprobs(self.served.model.tokenizer, offset)
            if echo:
                logprobs = text.logprobs(self.served, self.told)
        after = writing.fresh(logprobs, self.told)
        writing.offset = logprobs.offset if logprobs is not None else 0
        reason = writing.finish_reason or (None if writing.prompt.length else "length")
        return {
            "index": writing.index,
            "text": before + after,
            "logprobs": None if logprobs is None else logprobs.as_dict(),
            "finish_reason": reason,
        }

    def _usage(self) -> dict[str, int]:
        read = sum(len(text.ids) for text in self.texts)
        written = sum(len(writing.ids) for writings in self.writings for writing in writings)
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }


def _prompts(body: CompletionRequest) -> Sequence[str | list[int]]:
    """The prompts, one or several, as texts or ids."""
    prompt = body.prompt
    if prompt is None or isinstance(prompt, str):
        return [prompt or ""]
    if isinstance(prompt[0], int):
        return [prompt]
    return prompt
