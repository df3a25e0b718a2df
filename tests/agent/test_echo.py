"""A synthetic room: a decaying response between loudspeaker and microphone."""

import numpy as np
import pytest
from tests.agent.score import Stage

from mooer.agent.answer import Answer, Round
from mooer.agent.echo import BLOCK, EchoCanceller, EchoGuard
from mooer.agent.events import AnswerSound, Flush
from mooer.agent.options import AgentOptions
from mooer.agent.playout import Playout
from mooer.speak.spoken import Spoken

RATE = 16_000


def voice(seconds, seed, pitch_hz):
    """Something like speech: harmonics, syllables, a little noise."""
    random = np.random.default_rng(seed)
    times = np.arange(round(seconds * RATE)) / RATE
    drift = pitch_hz * times + 3 * np.sin(2 * np.pi * 0.7 * times + seed)
    sound = sum(np.sin(2 * np.pi * k * drift) / k for k in range(1, 24))
    sound += 0.3 * random.normal(size=len(times))
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * times + seed), 0, None) ** 0.5
    return (0.08 * sound * syllables).astype(np.float32)


def room(sound, delay_s=0.06, decay_s=0.03, seed=5):
    random = np.random.default_rng(seed)
    response = random.normal(size=round(0.15 * RATE))
    response *= np.exp(-np.arange(len(response)) / (decay_s * RATE))
    response *= 0.5 / np.sqrt(np.sum(response**2))
    delay = np.zeros(round(delay_s * RATE))
    return np.convolve(sound, np.concatenate([delay, response]))[: len(sound)].astype(np.float32)


def cancelled(mic, played, block=320):
    canceller = EchoCanceller()
    pieces = [
        canceller.push(mic[i : i + block], played[i : i + block]) for i in range(0, len(mic), block)
    ]
    return np.concatenate(pieces)


def level_db(sound):
    return 10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-12)


def test_the_echo_is_taken_out():
    played = voice(8.0, 1, 170.0)
    echo = room(played)
    left = cancelled(echo, played)
    late = slice(round(4 * RATE), None)
    assert len(left) == len(echo)
    assert level_db(echo[late]) - level_db(left[late]) >= 15


def test_the_user_is_kept_when_both_speak():
    played = voice(10.0, 1, 170.0)
    user = np.zeros_like(played)
    user[round(5 * RATE) :] = voice(5.0, 2, 120.0)
    left = cancelled(room(played) + user, played)
    late = slice(round(5.5 * RATE), round(9.5 * RATE))
    kept = left[BLOCK:][late]
    wanted = user[:-BLOCK][late]
    assert abs(level_db(kept) - level_db(wanted)) < 2.0
    assert np.corrcoef(kept, wanted)[0, 1] > 0.9


def test_without_anything_played_the_sound_is_as_it_was():
    user = voice(2.0, 2, 120.0)
    left = cancelled(user, np.zeros_like(user))
    assert np.allclose(left[BLOCK:], user[:-BLOCK], atol=1e-6)


@pytest.mark.parametrize("block", [1, 160, 700])
def test_pieces_of_any_length_give_the_same(block):
    played = voice(0.3, 1, 170.0)
    echo = room(played)
    assert np.allclose(cancelled(echo, played, block), cancelled(echo, played), atol=1e-6)


def test_the_reference_is_what_the_client_plays():
    answer = Answer(1, None, 8_000, is_spoken=True)
    answer.rounds.append(Round(answer))
    sounds = [np.sin(np.arange(8_000) * f).astype(np.float32) * 0.5 for f in (0.05, 0.08)]
    for sound in sounds:
        answer.add(Spoken("", sound, 8_000))
    answer.told = answer.num_samples
    guard = EchoGuard()
    found = np.concatenate([guard._reference(320, answer) for _ in range(110)])
    whole = np.repeat(np.concatenate(sounds), 2)
    assert np.corrcoef(found[: len(whole)], whole)[0, 1] > 0.99
    assert not found[len(whole) :].any()


def flushes(echo):
    """How often the agent stops because of its own voice, weaker and 0.1 s later."""
    text = " ".join(f"Sentence number {i} is spoken here." for i in range(8))
    options = AgentOptions(echo=echo, assume_played=True, surely_s=100.0)
    stage = Stage({"count for me": text}, options=options)
    stage.words.heard = lambda samples: "count for me" if len(stage.hear.calls) < 2 else ""
    stage.voicing._spoken = noisy
    playout, events = Playout(RATE), []
    past = np.zeros(1600, np.float32)
    question = stage.score((0.5, "count for me"), end_s=16.0)
    for start in range(0, len(question), 320):
        told = stage.session.push(question[start : start + 320] + 0.3 * past[:320])
        events += told
        for event in told:
            playout.take(event)
        past = np.concatenate([past[320:], playout.pull(320)])
    assert any(isinstance(e, AnswerSound) for e in events)
    return len([e for e in events if isinstance(e, Flush)])


def noisy(text):
    num = round(len(text.split()) * 0.3 * 8_000)
    noise = np.random.default_rng(len(text)).normal(size=num) * 0.2
    return Spoken(text.strip(), np.clip(noise, -1, 1).astype(np.float32), 8_000)


def test_an_answer_is_seldom_stopped_by_its_own_echo():
    assert flushes("off") >= 12
    assert flushes("cancel") <= 4
