"""One conversation: the user's sound in, events out; what was heard is known to the sample."""

from __future__ import annotations

import math

import numpy as np

from mooer.agent.answering import Answering
from mooer.agent.context import Context
from mooer.agent.echo import EchoGuard
from mooer.agent.events import Event, TurnEnded, UserText
from mooer.agent.jobs import Jobs, ThreadJobs
from mooer.agent.manners import Manners
from mooer.agent.memory import Memory
from mooer.agent.mind import Turn
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Parts, Samples
from mooer.agent.taking import TurnTaking
from mooer.agent.thinking import Ask
from mooer.audio.vad import FRAME_SAMPLES, SpeechStream
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import AgentError, AudioError, ConfigError

_MAX_GAP_S = 30.0  # of lost sound that is heard as silence; a longer gap ends what was said


class Session:
    """One conversation; use it from one thread.

    Time is that of the user's sound: push it as it comes, silence too, and play what comes back.
    Without `jobs` the models run in threads, made for this session and ended with it.
    """

    def __init__(
        self, parts: Parts, options: AgentOptions | None = None, *, jobs: Jobs | None = None
    ) -> None:
        options = options or AgentOptions()
        self._own_jobs = ThreadJobs() if jobs is None else None
        self._context = Context(parts, options, jobs or self._own_jobs or ThreadJobs())
        self._memory = Memory()
        self._answering = Answering(self._context, self._memory)
        self._taking = TurnTaking(self._context, self._answering, self._memory)
        self._manners = Manners(self._context, self._answering, self._taking, self._memory)
        self._speech = SpeechStream(parts.vad)
        self._guard = EchoGuard()
        self._num_samples = 0
        self._is_closed = False

    # --- sound ------------------------------------------------------------------------------------

    def push(self, samples: Samples, *, start_s: float | None = None) -> list[Event]:
        """Hear the user's sound, float32 [T] in [-1, 1] at 16 kHz, of any length.

        `start_s` says where in the stream it begins, if some was lost before it; sound of a time
        that has passed is appended as it is. AudioError for what is no such sound.
        """
        self._check_open()
        samples = _checked(samples, start_s)
        if start_s is not None:
            self._skip(round(start_s * SAMPLE_RATE_HZ))
        self._take(samples)
        return self._context.told()

    def _take(self, samples: Samples) -> None:
        if self._context.options.echo == "cancel":
            samples = self._guard.cancel(samples, self._answering.current)
        self._num_samples += len(samples)
        for frame, prob in self._speech.push(samples):
            self._context.run_until((self._taking.tape.end + FRAME_SAMPLES) / SAMPLE_RATE_HZ)
            self._answering.frame()
            self._taking.frame(frame, prob)
            self._manners.frame()
        self._context.run_until(self.time_s)

    def _skip(self, to_sample: int) -> None:
        missing = to_sample - self._num_samples
        if missing <= 0:
            return
        self._take(np.zeros(min(missing, round(_MAX_GAP_S * SAMPLE_RATE_HZ)), np.float32))
        if to_sample > self._num_samples:
            self._speech.flush()
            self._num_samples = to_sample
            self._taking.jump(to_sample)

    def poll(self) -> list[Event]:
        """What work has brought meanwhile."""
        self._check_open()
        return self._told()

    def _told(self) -> list[Event]:
        self._context.run_until(self.time_s)
        return self._context.told()

    # --- what the client does ---------------------------------------------------------------------

    def played(self, answer: int, num_samples: int) -> list[Event]:
        """The client's report: so many samples of the answer, at its own rate, are played so far.

        Reports may come late and out of order; those of an unknown answer say nothing.
        """
        self._answering.played(answer, num_samples)
        return self._told()

    def say(self, text: str) -> list[Event]:
        """A user's turn as text; what is being said is broken off. ConfigError without text."""
        self._check_open()
        text = text.strip()
        if not text:
            raise ConfigError("say takes a text, got none: write something to answer")
        self._taking.clear()
        self._answering.break_off()
        options, now_s = self._context.options, self._context.time_s
        number = self._taking.count_turn()
        said = Turn("user", text, language=options.language or "")
        self.remember(said)
        self._context.tell(UserText(now_s, text, said.language, is_final=True))
        self._context.tell(TurnEnded(now_s, number, text, said.language))
        if options.create_response:
            self._answering.ask(Ask(number, said, moments={"speech_end": now_s, "turn": now_s}))
        return self._told()

    def commit(self) -> list[Event]:
        """End the user's turn by hand."""
        self._check_open()
        self._taking.commit()
        return self._told()

    def clear(self) -> list[Event]:
        """Forget what was heard of the user's turn so far."""
        self._taking.clear()
        return self._told()

    def respond(self, instructions: str = "") -> list[Event]:
        """Answer what is there, with instructions for this answer beside those of the options."""
        self._check_open()
        self._answering.break_off()
        self._taking.stop_overlap()
        turns = self.turns
        said = turns[-1] if turns and turns[-1].role == "user" else None
        number = self._taking.num_turns or None
        self._answering.ask(Ask(number, said, instructions=instructions))
        return self._told()

    def speak(self, text: str) -> list[Event]:
        """Say a text as an answer that nobody asked for, a greeting perhaps; no mind is asked."""
        self._check_open()
        self._answering.ask(Ask(text=text))
        return self._told()

    def interrupt(self) -> list[Event]:
        """Break off the answer that is being made or played: by key or button."""
        self._answering.break_off()
        self._taking.stop_overlap()
        return self._told()

    def truncate(self, answer: int, num_samples: int) -> list[Event]:
        """Of an answer only so many samples were heard, says the client; it is broken off there.

        AgentError for an answer that there is not, or that is long over.
        """
        self._answering.truncate(answer, num_samples)
        self._taking.stop_overlap()
        return self._told()

    def tool_result(self, call: str, output: str) -> list[Event]:
        """The result of a call that the client was told of; AgentError if there is no such call."""
        self._check_open()
        self._answering.calling.result(call, output)
        return self._told()

    def remember(self, turn: Turn) -> None:
        """Put a turn into memory as it is, behind all others."""
        options = self._context.options
        self._memory.add(turn, max_turns=options.max_turns, keep_sounds=options.keep_sounds)

    def forget(self, turn: Turn) -> None:
        """Leave a turn of the user, or one that was put there, out of memory; see `turns`."""
        self._memory.take_back(turn)

    def change(self, options: AgentOptions) -> None:
        """Go on with other options; they hold from the next turn and the next answer on."""
        self._context.options = options

    # --- what is known ----------------------------------------------------------------------------

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Memory: of the agent's turns what was heard, to the sample."""
        return self._memory.turns

    @property
    def options(self) -> AgentOptions:
        """Those that hold now."""
        return self._context.options

    @property
    def time_s(self) -> float:
        """Seconds of the user's sound so far."""
        return self._num_samples / SAMPLE_RATE_HZ

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is said, made, planned or played."""
        return self._taking.is_quiet and self._answering.is_idle

    def close(self) -> None:
        """Stop all work; the session cannot be used afterwards."""
        self._is_closed = True
        self._answering.close()
        self._context.close()
        if self._own_jobs:
            self._own_jobs.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise AgentError("this conversation has been closed: begin a new one")


def _checked(samples: Samples, start_s: float | None) -> Samples:
    wanted = "push takes float32 samples [T] in [-1, 1] at 16 kHz"
    if not isinstance(samples, np.ndarray) or samples.dtype != np.float32 or samples.ndim != 1:
        shape = getattr(samples, "shape", "")
        got = f"{getattr(samples, 'dtype', type(samples).__name__)} {list(shape) if shape else ''}"
        raise AudioError(f"{wanted}, got {got.strip()}: convert them (infer.Converter does)")
    if start_s is not None and not (math.isfinite(start_s) and start_s >= 0):
        raise AudioError(f"samples begin at 0 s or later, not at {start_s} s")
    if len(samples) and not -1.0 <= float(samples.min()) <= float(samples.max()) <= 1.0:
        if not np.isfinite(samples).all():
            raise AudioError(f"{wanted}, got some that are no numbers: set them to 0 first")
        return np.clip(samples, -1.0, 1.0)
    return samples
