"""Completions as they are told: texts without their stops, and ln P of every token.

A token is a character; an ending `<bos>` is one too, with an empty text. Written characters that
may be the beginning of a stop are held back until that is decided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rondeau.generation.batching import Prompt, Update
from rondeau.generation.decoding import Told
from rondeau.text.tokenizer import BOS, UNK, CharTokenizer, Ids

FINISH = {"length": "length", "stop": "stop", "end": "stop"}


class Logprobs:
    """What is told of tokens, growing."""

    def __init__(self, tokenizer: CharTokenizer, offset: int = 0) -> None:
        """From a place of the text on."""
        self.tokenizer, self.offset = tokenizer, offset
        self.tokens: list[str] = []
        self.nats: list[float | None] = []
        self.top: list[dict[str, float] | None] = []
        self.offsets: list[int] = []

    def add(self, characters: Sequence[str], ids: Ids, told: Told | None, count: int) -> None:
        """Tokens with what is told of them, at most so many alternatives; None for nothing."""
        for at, (character, index) in enumerate(zip(characters, ids.tolist(), strict=True)):
            token = character or self.tokenizer.token(index)
            nats, top = None, None
            if told is not None:
                nats = float(told.nats[at])
                if index == UNK:
                    nats -= self.tokenizer.unknown_bits * math.log(2)
                likely = zip(told.likely[at, :count], told.likely_nats[at, :count], strict=True)
                top = {self.tokenizer.token(int(i)): float(p) for i, p in likely}
                top[token] = nats
            self.tokens.append(token)
            self.nats.append(nats)
            self.top.append(top)
            self.offsets.append(self.offset)
            self.offset += len(character)

    def as_dict(self) -> dict[str, Any]:
        """As OpenAI has it."""
        return {
            "tokens": self.tokens,
            "token_logprobs": self.nats,
            "top_logprobs": self.top,
            "text_offset": self.offsets,
        }


class Writing:
    """One text of a completion, from its stream's updates."""

    def __init__(self, tokenizer: CharTokenizer, prompt: Prompt, index: int) -> None:
        """Nothing has been written."""
        self.tokenizer, self.prompt, self.index = tokenizer, prompt, index
        self.ids = np.empty(0, np.int64)
        self.told: list[Told] = []
        self.given = 0
        """Tokens that have been handed out, and where their text ends."""
        self.offset = 0
        self.finish_reason: str | None = None
        self.sum, self.tokens = 0.0, 0

    def take(self, update: Update) -> None:
        """Some more of it; a stop that ends it is no part of it."""
        self.ids = np.concatenate([self.ids, update.ids])
        if update.told is not None:
            self.told.append(update.told)
            self.sum += float(update.told.nats.sum())
            self.tokens += len(update.ids)
        if update.finish_reason is not None:
            self.finish_reason = FINISH[update.finish_reason]
            self.ids = self.ids[: len(self.ids) - update.stop]

    @property
    def mean(self) -> float:
        """Mean ln P of its tokens, by which the best of several is chosen."""
        return self.sum / self.tokens if self.tokens else -math.inf

    def fresh(self, logprobs: Logprobs | None, count: int) -> str:
        """The text that is decided and wasn't handed out; its tokens are added to logprobs."""
        stop = len(self.ids) - (0 if self.finish_reason else pending(self.ids, self.prompt.stops))
        ids = self.ids[self.given : stop]
        characters = [character(self.tokenizer, index) for index in ids.tolist()]
        if logprobs is not None and len(ids):
            told = (np.concatenate(part) for part in zip(*self.told, strict=True))
            logprobs.add(characters, ids, Told(*(part[self.given : stop] for part in told)), count)
        self.given = stop
        return "".join(characters)


def character(tokenizer: CharTokenizer, index: int) -> str:
    """The text of an id: nothing for `<bos>`, U+FFFD for `<unk>`."""
    return "" if index == BOS else chr(tokenizer.codes[index])


def pending(ids: Ids, stops: Sequence[Ids]) -> int:
    """How many of the last ids may be the beginning of a stop."""
    longest = max(map(len, stops), default=1) - 1
    for count in range(min(longest, len(ids)), 0, -1):
        end = ids[-count:]
        if any(len(stop) > count and (stop[:count] == end).all() for stop in stops):
            return count
    return 0
