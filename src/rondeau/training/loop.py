"""The training loop: truncated back-propagation through time over windows of streams.

Iterate a Training for events, or call `finish`. It prints nothing. Every step is a function of the
saved state and its number, so that a resumed training repeats the bits. How one is prepared is
`train`'s business.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from rondeau.config import ModelConfig, TrainConfig
from rondeau.errors import TrainingError
from rondeau.evaluation.perplexity import Evaluation
from rondeau.language_model import LanguageModel
from rondeau.network.cells import detach
from rondeau.network.model import Model
from rondeau.report.page import write_report
from rondeau.run.folder import RunFolder
from rondeau.run.lock import locked
from rondeau.run.weights import load_weights, read_shape, read_weights
from rondeau.text.batches import fit_windows
from rondeau.text.corpus import Corpus
from rondeau.training import keeping, records
from rondeau.training.budget import EVALUATIONS, fixed_steps, seconds_per_step, steps_in_time
from rondeau.training.captured import CapturedStep
from rondeau.training.defaults import fill_defaults
from rondeau.training.events import Event, GateShares, HeldOut
from rondeau.training.group import ALONE, Group
from rondeau.training.held_out import SAMPLED_CHARACTERS, final_numbers, look, sample_texts
from rondeau.training.learning import Learner
from rondeau.training.memory import failures_told, largest
from rondeau.training.model_card import Numbers
from rondeau.training.optimisation import clip_gradient, learning_rate, make_optimizer
from rondeau.training.saturation import gate_shares

EVENT_STEPS = 10
"""Steps between events."""
LONGEST_BETWEEN_LOOKS = 1000
SLOWER = 1 / 3
"""Of the learning rate, after a step back."""


class _NonFiniteError(TrainingError):
    """A loss or gradient that isn't finite; `what` says which."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


class Training:
    """A training under way: `for event in training`, then `finish()` for the model.

    notes: sentences for the user about what was chosen or done differently from what was asked.
    """

    def __init__(
        self,
        config: TrainConfig,
        corpus: Corpus,
        folder: RunFolder,
        *,
        device: torch.device,
        group: Group = ALONE,
    ) -> None:
        """Fix everything that the settings leave open; nothing is written yet."""
        group.set_threads(config.threads)
        config, chosen = fill_defaults(config, corpus.train.characters)
        self.corpus, self.folder, self.device, self.group = corpus, folder, device, group
        self.tokenizer = corpus.tokenizer
        self.windows, note = fit_windows(
            corpus.train.ring,
            self.tokenizer.seen_once,
            batch=config.batch,
            seq_len=config.seq_len,
            seed=config.seed,
            random=config.sampling == "random",
        )
        self.notes = (*corpus.repairs, *corpus.notes, *(said for said in (chosen, note) if said))
        self.config = config
        self.model = self._new_model()
        self.learner = self._learner(self.model)
        steps = fixed_steps(config, self.windows.steps_per_epoch)
        if steps is None:
            steps = self._measured_steps(config)
        every = config.eval_every or max(10, min(LONGEST_BETWEEN_LOOKS, -(-steps // EVALUATIONS)))
        self.steps, self.looks = steps, every
        self.config = replace(config, steps=steps, epochs=None, minutes=None, eval_every=every)
        self._begin()
        self.interrupted = self.stopping = False
        self.numbers: list[Numbers] = []
        self.verdict: list[str] = []

    def _begin(self) -> None:
        """The state before the first step, but for the weights."""
        self.optimizer = make_optimizer(self.model, self.config)
        self.record_anew()
        self.carry = self.learner.initial_carry
        self.step = 0
        self.rate = 1.0
        self.losses: list[torch.Tensor] = []
        self.best: float | None = None
        self.best_step: int | None = None
        self.looks_since_best = 0
        self.seconds = 0.0

    def begin_again(self) -> None:
        """Go back to the state before the first step."""
        if self.config.shard:
            from rondeau.training import sharding

            sharding.set_weights(self.model, self._new_model())
        else:
            self.model.load_state_dict(self._new_model().state_dict())
        self._begin()

    def _new_model(self) -> Model:
        """The model as it is drawn by the seed."""
        torch.manual_seed(self.config.seed)
        model = Model(ModelConfig.of(self.config), len(self.tokenizer)).to(self.device)
        model.backend = "reference" if self.config.detect_anomaly else self.config.backend
        model.precision = self.config.precision
        return model

    def _learner(self, model: Model) -> Learner:
        """What gives a model its gradients."""
        return Learner(model, self.windows, self.config, group=self.group, device=self.device)

    def _captured(self, learner: Learner, optimizer: torch.optim.Optimizer) -> CapturedStep | None:
        """What records steps of a model as it is now, where that is asked for."""
        if not self.config.cuda_graphs:
            return None
        return CapturedStep(learner, optimizer, clip=self.config.clip)

    def record_anew(self) -> None:
        """Forget the recorded step: the optimiser's tensors are others now."""
        self.captured = self._captured(self.learner, self.optimizer)

    @property
    def carried(self) -> bool:
        """Whether the state of a window is the start of the next."""
        return self.config.sampling == "consecutive" and not self.config.bidirectional

    @property
    def done(self) -> bool:
        """Whether the budget is used up or the validation split has stopped getting better."""
        patience = self.config.patience
        return self.step >= self.steps or bool(patience and self.looks_since_best >= patience)

    def interrupt(self) -> None:
        """Ask for an end after the step under way: the iteration saves and stops.

        Of several processes one is enough, and all stop after the same step.
        """
        self.interrupted = True

    def __iter__(self) -> Iterator[Event]:
        """Train on to the end, yielding an Event every 10 steps and at every look.

        A loss or gradient that isn't finite takes it back to the last checkpoint, to go on at a
        third of the learning rate; at the second one it ends with TrainingError, as where files
        can't be written or memory runs out: the last checkpoint stays. RunError while another
        process trains here.
        """
        with self._failures_told(), self._held():
            yield from self._events()

    def _held(self) -> contextlib.AbstractContextManager[None]:
        """The run's lock, which the first process has for all."""
        return locked(self.folder) if self.group.first else contextlib.nullcontext()

    @contextlib.contextmanager
    def _failures_told(self) -> Iterator[None]:
        """Files that can't be written and memory that can't be had, in one line each."""
        with (
            self.group.in_contact(lambda: f"after step {self.step}"),
            records.failed_writes_told(self.folder, lambda: f"after step {self.step}"),
            failures_told(self._what_helps),
        ):
            yield

    def _events(self) -> Iterator[Event]:
        clock = saved = time.perf_counter()
        note: str | None = None
        while not self.done and not self._is_stopped():
            self.model.train()
            try:
                loss, norm, since = self._learn(time.perf_counter() - saved)
                self.losses.append(loss)
                self.step += 1
                at_look = self.step % self.looks == 0 or self.step == self.steps
                told = at_look or self.step % EVENT_STEPS == 0 or self.step == 1
                if told or self._checkpoint_due(at_look, since):
                    self._wait()
            except _NonFiniteError as error:
                note = self._step_back(error)
                continue
            event: Event | None = None
            if told:
                event = self._event(float(norm), time.perf_counter() - clock, at_look, note)
                if self.group.first:
                    records.append_event(self.folder, event)
                self.losses, note = [], None
            if self._checkpoint_due(at_look, since):
                start = time.perf_counter()
                keeping.save(self)
                saved = time.perf_counter()
                clock += saved - start
            if event is not None:
                yield event
                clock = time.perf_counter()
        if self.interrupted and self.step:  # before the first step there is nothing to save
            try:
                self._wait()
            except _NonFiniteError as error:
                self._step_back(error)
            keeping.save(self)
            self.group.leave_together()

    def _is_stopped(self) -> bool:
        """Whether it is interrupted: for several processes, once all know."""
        return self.stopping or (self.interrupted and self.group.size == 1)

    def _event(self, norm: float, spent: float, at_look: bool, note: str | None) -> Event:
        """What there is to tell after a step, after so many seconds since the event before."""
        tokens = self.windows.batch * self.windows.seq_len
        self.seconds += spent
        return Event(
            step=self.step,
            steps=self.steps,
            tokens=self.step * tokens,
            loss=float(torch.stack(self.losses).mean()),
            learning_rate=self._rate(self.step - 1),
            gradient_norm=norm,
            tokens_per_second=len(self.losses) * tokens / spent,
            seconds=self.seconds,
            held_out=self._look() if at_look else None,
            gates=self._gates() if at_look and self.config.gates else None,
            note=note,
        )

    def _gates(self) -> tuple[GateShares, ...] | None:
        """Gates on a little text, which the first process tells."""
        model = self._whole()
        return gate_shares(model, self.corpus) if self.group.first else None

    def _checkpoint_due(self, at_look: bool, seconds: float) -> bool:
        """Whether to save, so many seconds after the last time: always a new best, and the end."""
        every = self.config.checkpoint_every
        regular = at_look if every is None else self.step % every == 0
        best = at_look and self.best_step == self.step
        return regular or best or self.done or seconds > 60 * self.config.checkpoint_minutes

    def _step_back(self, error: _NonFiniteError) -> str:
        """Return to the last checkpoint, or the beginning, once, and learn more slowly; a note."""
        if self.rate < 1 or self.config.detect_anomaly:
            raise error
        step = self.step + 1
        keeping.restore(self, keeping.latest(self))
        self.rate = SLOWER
        return (
            f"step {step:,}: the {error.what} is not finite; going on after step {self.step:,} at "
            "a third of the learning rate"
        )

    def finish(self) -> LanguageModel:
        """Train to the end, evaluate the best model on every split, write it down, return it."""
        for _ in self:
            pass
        with self._failures_told(), self._held():
            first, source = self.group.first, "model.safetensors"
            keeping.keep_best(self)
            best = read_weights(self.folder, source, read_shape(self.folder)) if first else b""
            network = self._whole()
            load_weights(network, self.group.tell(best), str(self.folder.path / source))
            model = LanguageModel(
                network.eval(),
                self.tokenizer,
                self.folder,
                whole_documents=self.corpus.whole_documents,
                corpus=self.corpus,
            )
            self.numbers = final_numbers(model, self.group)
            if first:
                costs = [number for number in self.numbers if isinstance(number, Evaluation)]
                self.verdict = model.verdict(costs) if costs else []
                records.write_results(self, self.numbers)
                write_report(model)
            self.group.leave_together()
        return model

    def _whole(self) -> Model:
        """The model with all of its weights."""
        if not self.config.shard:
            return self.model
        from rondeau.training import sharding

        return sharding.whole(self.model)

    def _what_helps(self) -> str:
        """Where memory ran out, what is saved, and what can be done."""
        saved, setting = records.what_is_saved(self.folder), largest(self.config, self.corpus)
        return (
            f"after step {self.step}; {saved}: make room and go on with --resume, or start again "
            f"with a smaller {setting}"
        )

    def _learn(self, since: float) -> tuple[torch.Tensor, float | torch.Tensor, float]:
        """One step: window, loss, gradient, clipping, update -> the loss, the gradient's norm.

        since: seconds since the last checkpoint; those of the first process come back.
        """
        rate = self._rate(self.step)
        carry = self.carry if self.carried else self.learner.initial_carry
        if self.captured:
            loss, found, self.carry = self.captured(self.step, rate, carry)
            return loss, found, since
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, carry, (stops, since) = self.learner.gradient(
            self.step, carry, self.interrupted, since if self.group.first else 0.0
        )
        if self.group.size > 1 and stops:
            self.interrupted = self.stopping = True
        norm = float(clip_gradient(self.model, self.config.clip))
        if not (torch.isfinite(loss) and norm < float("inf")):
            raise self._non_finite("gradient" if torch.isfinite(loss) else "loss")
        self.optimizer.step()
        self.carry = detach(carry)
        return loss, norm, since

    def _wait(self) -> None:
        """Wait for steps that nobody has waited for, and see whether all have learned."""
        failure = self.captured.failure() if self.captured else None
        if failure:
            ago, what = failure
            self.step -= ago + 1
            raise self._non_finite(what)

    def _non_finite(self, what: str) -> _NonFiniteError:
        """Of the next step, what isn't finite."""
        return _NonFiniteError(
            what,
            f"step {self.step + 1}: the {what} is not finite (--lr {self._rate(self.step):g}); try "
            f"--lr {self.config.peak_lr / 10:.2g} or a smaller --clip (--detect-anomaly names the "
            f"operation); {records.what_is_saved(self.folder)}",
        )

    def _rate(self, step: int) -> float:
        """The learning rate of a step, less after a step back."""
        return self.rate * learning_rate(step, self.steps, self.config)

    def _measured_steps(self, config: TrainConfig) -> int:
        model = self._new_model().train()
        learner, optimizer = self._learner(model), make_optimizer(model, config)
        captured, carry = self._captured(learner, optimizer), learner.initial_carry

        def run_step(step: int) -> None:
            if captured:
                float(captured(step, 0.0, carry)[0])  # for which the device is waited for
                return
            learner.gradient(step, carry)
            clip_gradient(model, config.clip)
            optimizer.step()

        per_step = seconds_per_step(run_step, self.group)
        tokens = self.windows.batch * self.windows.seq_len
        characters = min(SAMPLED_CHARACTERS, self.corpus.validation.characters)
        per_look = 0.5 * per_step * characters / tokens
        return steps_in_time(config, self.windows.steps_per_epoch, per_step, per_look)

    def _look(self) -> HeldOut | None:
        """A look at the validation split, and whether it is the best so far."""
        if not self.corpus.validation:
            return None
        whole, model = self.corpus.whole_documents, self._whole()
        loss, targets, measure = look(
            model, self.tokenizer, self.corpus.validation, whole=whole, group=self.group
        )
        best = self.best is None or loss < self.best
        if not math.isfinite(loss):
            raise TrainingError(
                f"step {self.step}: the held-out loss is not finite; try a smaller --lr; "
                f"{records.what_is_saved(self.folder)}"
            )
        if best:
            self.best, self.best_step, self.looks_since_best = loss, self.step, 0
        else:
            self.looks_since_best += 1
        samples: tuple[str, ...] = ()
        if self.group.first:
            samples = sample_texts(model, self.tokenizer, seed=self.config.seed, whole=whole)
        return HeldOut(loss=loss, targets=targets, best=best, measure=measure, samples=samples)
