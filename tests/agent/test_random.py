"""Whatever is said when, and however slow the models are: what must hold of events does."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agent.score import LatePlayout, Stage, check

from mooer.agent.events import AnswerSound, Flush, Remembered, Resumed, TurnEnded, TurnReopened
from mooer.agent.options import AgentOptions

WORDS = ["what", "is", "it", "okay", "and", "stop", "to", "more"]
said = st.lists(
    st.tuples(st.floats(0.1, 2.5), st.lists(st.sampled_from(WORDS), min_size=1, max_size=6)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    said,
    st.floats(0.0, 0.8),
    st.floats(0.0, 1.5),
    st.floats(0.0, 0.5),
    st.sampled_from(["pause", "wait"]),
    st.booleans(),
)
def test_what_must_hold_holds(said, hear_s, first_s, latency_s, policy, speculate):
    stage = Stage(options=AgentOptions(barge_in=policy, speculate=speculate))
    stage.hear.takes_s, stage.mind.first_s = hear_s, first_s
    score, at = [], 0.3
    for gap_s, words in said:
        score.append((at, " ".join(words)))
        at += len(words) * 0.25 + gap_s
    told = stage.play(*score, playout=LatePlayout(latency_s))
    check(told.events)
    turns = stage.session.turns
    # Memory is what the events told, in their order: turns that were not reopened, answers heard.
    ended = {}
    for event in told.events:
        if isinstance(event, TurnEnded):
            ended[event.turn] = event.text
        elif isinstance(event, TurnReopened):
            del ended[event.turn]
    assert [turn.text for turn in turns if turn.role == "user"] == list(ended.values())
    heard = {}
    for event in told.all(Remembered):
        heard[event.answer] = event.text
    assert [t.text for t in turns if t.role == "assistant"] == [t for t in heard.values() if t]
    # No word is heard twice or out of order, and none that was not said.
    words = [word for _, text in score for word in text.split()]
    rest = iter(words)
    assert all(word in rest for text in ended.values() for word in text.split())
    # What stands still goes on, or is over.
    open_flushes = {e.answer for e in told.all(Flush)} - {e.answer for e in told.all(Resumed)}
    assert all(number in heard or number not in _sounding(told) for number in open_flushes)
    assert stage.session.is_quiet


def _sounding(told):
    """Answers of which the last thing told was sound."""
    last = {}
    for event in told.events:
        if isinstance(event, AnswerSound | Flush):
            last[event.answer] = type(event)
    return {number for number, kind in last.items() if kind is AnswerSound}
