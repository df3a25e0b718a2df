"""The agent's own voice in the microphone: an adaptive filter takes it out of the user's sound.

A partitioned-block frequency-domain NLMS filter (Soo and Pang 1990, "Multidelay block frequency
domain adaptive filter") follows the path from loudspeaker to microphone. Two filters are kept
(Ochiai, Araseki and Ogihara 1977, "Echo canceler with two echo path models"): one adapts all the
time, the other gives the output and takes over the weights of the first only while those do
better; when both speak at once they do not, and the user's voice is kept.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mooer.agent.answer import Answer
from mooer.agent.parts import Samples
from mooer.audio.resample import Resampler
from mooer.audio.wave import SAMPLE_RATE_HZ

BLOCK = 256  # samples, 16 ms: so much later the output is
_STEP = 1.1  # of NLMS, which diverges at 2
_EVEN = 0.3  # of the mean power: bins with less than that are learnt more slowly
_SMOOTH = 0.85  # of the energies that are compared, a block
_BETTER, _WORSE = 0.9, 4.0  # energy of the errors: when weights are taken over, and given up
_FLOOR = 1e-5  # power of a block's spectrum that counts as silence
_LOST_S = 0.3  # how far the client's report may be from where the player is thought to be

Spectra = NDArray[np.complex128]


class EchoCanceller:
    """Takes what is played out of what is recorded; both at 16 kHz, in step."""

    def __init__(self, *, tail_s: float = 0.4) -> None:
        num = math.ceil(tail_s * SAMPLE_RATE_HZ / BLOCK)
        self._played = np.zeros((num, BLOCK + 1), np.complex128)  # spectra, the newest first
        self._adapted = np.zeros_like(self._played)
        self._used = np.zeros_like(self._played)
        self._before = np.zeros(BLOCK)  # of the reference
        self._mic = np.zeros(0)
        self._reference = np.zeros(0)
        self._ready = np.zeros(BLOCK)  # the output is a block late from the beginning
        self._energies = np.zeros(3)  # of both errors and of the microphone

    def push(self, mic: Samples, reference: Samples) -> Samples:
        """[T] of each -> [T], `BLOCK` samples late."""
        self._mic = np.concatenate([self._mic, mic])
        self._reference = np.concatenate([self._reference, reference])
        out = [self._ready]
        while len(self._mic) >= BLOCK:
            out.append(self._block(self._mic[:BLOCK], self._reference[:BLOCK]))
            self._mic, self._reference = self._mic[BLOCK:], self._reference[BLOCK:]
        joined = np.concatenate(out)
        self._ready = joined[len(mic) :]
        return np.clip(joined[: len(mic)], -1.0, 1.0).astype(np.float32)

    def _block(self, mic: NDArray[np.float64], played: NDArray[np.float64]) -> NDArray[np.float64]:
        self._played = np.roll(self._played, 1, axis=0)
        self._played[0] = np.fft.rfft(np.concatenate([self._before, played]))
        self._before = played
        power = np.sum(np.abs(self._played) ** 2, axis=0)
        if power.mean() < _FLOOR:
            return mic  # nothing is played, and nothing is learnt
        error = mic - self._echo(self._adapted)
        kept = mic - self._echo(self._used)
        fresh = np.array([error @ error, kept @ kept, mic @ mic])
        self._energies = _SMOOTH * self._energies + (1 - _SMOOTH) * fresh
        self._choose()
        # The error's spectrum, of which the first half of the block is none of ours.
        spectrum = np.fft.rfft(np.concatenate([np.zeros(BLOCK), error]))
        step = _STEP / (power + _FLOOR + _EVEN * power.mean())
        gradient = np.fft.irfft(np.conj(self._played) * (spectrum * step), axis=1)
        gradient[:, BLOCK:] = 0.0  # a filter of a partition is as long as its block
        self._adapted += np.fft.rfft(gradient, axis=1)
        return kept

    def _echo(self, weights: Spectra) -> NDArray[np.float64]:
        return np.fft.irfft(np.sum(weights * self._played, axis=0))[BLOCK:]

    def _choose(self) -> None:
        adapted, used, mic = self._energies
        if adapted < _BETTER * used and adapted < mic:
            self._used = self._adapted.copy()
            self._energies[1] = adapted
        elif adapted > _WORSE * min(used, mic):
            self._adapted = self._used.copy()
            self._energies[0] = used


class EchoGuard:
    """Knows what is being played, and takes it out of what the microphone hears."""

    def __init__(self) -> None:
        self._canceller = EchoCanceller()
        self._number = 0  # of the answer that is played
        self._at = 0  # samples at 16 kHz that it has been played for
        self._clauses: dict[int, Samples] = {}  # by their start, at 16 kHz

    def cancel(self, samples: Samples, answer: Answer | None) -> Samples:
        """The user's sound [T] without the agent's, 16 ms late."""
        return self._canceller.push(samples, self._reference(len(samples), answer))

    def _reference(self, num: int, answer: Answer | None) -> Samples:
        """What was sent to be played meanwhile [num]; silence where nothing was."""
        found = np.zeros(num, np.float32)
        if answer is None or answer.is_held:
            return found
        scale = SAMPLE_RATE_HZ / answer.rate_hz
        if answer.is_paused:
            self._at = round(answer.played * scale)
            return found
        if answer.number != self._number:
            self._number, self._at = answer.number, 0
            self._clauses.clear()
        reported = round(answer.played * scale)
        if answer.is_reported and abs(reported - self._at) > _LOST_S * SAMPLE_RATE_HZ:
            self._at = reported
        end = min(self._at + num, round(answer.told * scale))
        for start, samples, _ in answer.sound_from(0):
            first = round(start * scale)
            if first >= end or first + len(samples) * scale <= self._at:
                self._clauses.pop(start, None)
                continue
            if start not in self._clauses:
                self._clauses[start] = _at_16_khz(samples, answer.rate_hz)
            sound = self._clauses[start]
            into, out = max(0, self._at - first), max(0, first - self._at)
            piece = sound[into : end - first]
            found[out : out + len(piece)] = piece[: num - out]
        self._at = max(self._at, end)
        return found


def _at_16_khz(samples: Samples, rate_hz: int) -> Samples:
    resampler = Resampler(rate_hz, SAMPLE_RATE_HZ)
    return np.concatenate([resampler.push(samples), resampler.flush()])
