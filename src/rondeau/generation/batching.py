"""Many texts written at once: prompts are read, streams join, write, and leave at any turn.

A turn reads a little of what is still to be read, and then writes a chunk of steps for all streams
together, one product for all of them. What a stream writes depends on its prompt, its controls and
its seed alone (on the CPU in float32 to the bit): not on who else is there, nor on how the steps
are cut into turns. It knows ids and no text, no threads and no clients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch

from rondeau.generation.decoding import Array, Controls, Told
from rondeau.generation.trace import Trace, trace
from rondeau.generation.writing import Written, make_writer
from rondeau.network.cells import map_carry
from rondeau.network.model import Model
from rondeau.network.stack import StackCarry
from rondeau.text.tokenizer import BOS, Ids

FinishReason = Literal["length", "stop", "end"]
WINDOW = 128
"""Most ids that are read of one prompt before it is another's turn."""
READ = 4 * WINDOW
"""Ids that are read in a turn, of all prompts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompt:
    """What is read, and how it goes on.

    ids: read after `carry` (default: after `<bos>`); seeds: a stream for each, all with the same
    controls; length: most ids that each writes, 0 to read only; stops: ids that end a stream when
    it has written them; tell: whether the ids that are read are told too, as the controls say;
    keep: whether updates have the carry; traced: whether they have the trace.
    """

    ids: Ids
    controls: Controls
    seeds: Sequence[tuple[int, ...]] = ()
    length: int = 0
    stops: Sequence[Ids] = ()
    carry: StackCarry | None = None
    tell: bool = False
    keep: bool = False
    traced: bool = False


class Update(NamedTuple):
    """What a turn did for one prompt or one stream of it.

    stream: its number among the prompt's seeds, None for what was read; ids (N): they end with
    `<bos>` where the document ended, and with the stop where that came; finish_reason: set with the
    last one (of what was read: "length"); stop: how many ids the stop has; told, carry (after the
    ids, an ending `<bos>` left out) and trace where the prompt asks for them.
    """

    prompt: Prompt
    stream: int | None
    ids: Ids
    finish_reason: FinishReason | None = None
    stop: int = 0
    told: Told | None = None
    carry: StackCarry | None = None
    trace: Trace | None = None


class _Reading:
    """A prompt that is being read."""

    def __init__(self, prompt: Prompt, carry: StackCarry) -> None:
        self.prompt, self.carry, self.at = prompt, carry, 0


class _Stream:
    """A row of the writer."""

    def __init__(self, prompt: Prompt, number: int) -> None:
        self.prompt, self.number = prompt, number
        self.random = np.random.default_rng(prompt.seeds[number])
        self.written = np.empty(0, np.int64)
        """The last ids, as many as the longest stop could need."""
        self.length = 0

    def take(self, ids: Ids) -> tuple[int, FinishReason | None, int]:
        """How many of the next ids are the stream's, why it ends with them, and its stop's ids."""
        before = len(self.written)
        both = np.concatenate([self.written, ids])
        longest = max(map(len, self.prompt.stops), default=1)
        self.written = both[max(0, len(both) - longest + 1) :]
        for count in range(1, len(ids) + 1):
            self.length += 1
            if ids[count - 1] == BOS:
                return count, "end", 0
            end = before + count
            for stop in self.prompt.stops:
                if len(stop) <= end and (both[end - len(stop) : end] == stop).all():
                    return count, "stop", len(stop)
            if self.length == self.prompt.length:
                return count, "length", 0
        return len(ids), None, 0


class Batch:
    """The prompts and streams under way with one causal model."""

    def __init__(self, model: Model) -> None:
        """Pack the model's weights, and read `<bos>`."""
        self.model = model.eval()
        self.writer = make_writer(model)
        self.device = model.output.weight.device
        self.start = self._read(np.array([BOS]), model.initial_carry(1))
        self._readings: list[_Reading] = []
        self._streams: list[_Stream] = []

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._readings or self._streams)

    @property
    def rows(self) -> int:
        """Streams that write."""
        return len(self._streams)

    def add(self, prompt: Prompt) -> None:
        """Begin with a prompt at the next turn."""
        self._readings.append(_Reading(prompt, prompt.carry or self.start))

    def cancel(self, prompt: Prompt) -> None:
        """Forget a prompt and all of its streams, if it is still there."""
        self._readings = [r for r in self._readings if r.prompt is not prompt]
        self._keep([row for row, s in enumerate(self._streams) if s.prompt is not prompt])

    @torch.inference_mode()
    def turn(self, steps: int) -> list[Update]:
        """Read up to `READ` ids of prompts, and write so many steps of every stream."""
        updates: list[Update] = []
        budget = READ
        while self._readings and budget > 0:
            reading = self._readings.pop(0)
            count = min(WINDOW, len(reading.prompt.ids) - reading.at)
            updates += self._advance(reading, count)
            budget -= max(1, count)
        if self._streams:
            updates += self._write(steps)
        return updates

    def _read(self, ids: Ids, carry: StackCarry) -> StackCarry:
        """The carry of one stream after ids."""
        if not len(ids):
            return carry
        with torch.inference_mode():
            return self.model.features(torch.from_numpy(ids[:, None]).to(self.device), carry)[1]

    def _advance(self, reading: _Reading, count: int) -> list[Update]:
        """Read on in a prompt; at its end its streams begin."""
        prompt, before = reading.prompt, reading.carry
        ids = prompt.ids[reading.at : reading.at + count]
        reading.at += count
        told = None
        if count:
            rows = torch.from_numpy(ids[:, None]).to(self.device)
            features, reading.carry = self.model.features(rows, before)
            if prompt.tell:
                seen = torch.cat([self.model.last_features(before), features[:-1, 0]])
                told = tell_read(self.model.output(seen), ids, prompt.controls)
        done = reading.at == len(prompt.ids)
        if not done:
            self._readings.append(reading)
        elif prompt.length and prompt.seeds:
            many = len(prompt.seeds)
            repeated = map_carry(lambda part: part.repeat(many, 1), reading.carry)
            self.writer.add(repeated, [prompt.controls] * many)
            self._streams += [_Stream(prompt, number) for number in range(many)]
        return [
            Update(
                prompt,
                None,
                ids,
                "length" if done else None,
                told=told,
                carry=reading.carry if prompt.keep else None,
                trace=self._trace(prompt, ids, before),
            )
        ]

    def _write(self, steps: int) -> list[Update]:
        """A chunk of every stream; those that have ended leave."""
        before = {
            row: self.writer.carry(row)
            for row, stream in enumerate(self._streams)
            if stream.prompt.keep or stream.prompt.traced
        }
        left = max(stream.prompt.length - stream.length for stream in self._streams)
        steps = min(steps, left)
        uniforms = np.stack([stream.random.random(steps) for stream in self._streams], 1)
        written = self.writer.write(uniforms)
        updates = [
            self._update(row, stream, written, before.get(row))
            for row, stream in enumerate(self._streams)
        ]
        self._keep([row for row, u in enumerate(updates) if u.finish_reason is None])
        return updates

    def _update(
        self, row: int, stream: _Stream, written: Written, before: StackCarry | None
    ) -> Update:
        prompt = stream.prompt
        count, reason, stop = stream.take(written.ids[:, row])
        ids = written.ids[:count, row].copy()
        carry, told = None, prompt.controls.told
        if prompt.keep and before is not None:
            inside = ids[:-1] if reason == "end" else ids
            whole = len(inside) == len(written.ids)
            # What was written beyond the end is not in the text: the rest is read again.
            carry = self.writer.carry(row) if whole else self._read(inside, before)
        return Update(
            prompt,
            stream.number,
            ids,
            reason,
            stop,
            told=written.told(row, count, told) if told >= 0 else None,
            carry=carry,
            trace=self._trace(prompt, ids, before),
        )

    def _trace(self, prompt: Prompt, ids: Ids, before: StackCarry | None) -> Trace | None:
        if not (prompt.traced and before is not None and len(ids)):
            return None
        return trace(self.model, torch.from_numpy(ids).to(self.device), before)

    def _keep(self, rows: list[int]) -> None:
        if len(rows) < len(self._streams):
            self._streams = [self._streams[row] for row in rows]
            self.writer.keep(np.array(rows, np.int64))


def tell_read(logits: torch.Tensor, ids: Ids, controls: Controls) -> Told:
    """What is told of ids (N) that are known, from the logits (N, V) before each."""
    nats = torch.log_softmax(logits.double().cpu(), -1)
    chosen: Array = nats.gather(1, torch.from_numpy(ids)[:, None])[:, 0].numpy()
    nats[:, torch.from_numpy(controls.bias == -np.inf)] = -torch.inf
    best = nats.topk(max(0, controls.told), -1)
    return Told(chosen, best.indices.numpy(), best.values.numpy())
