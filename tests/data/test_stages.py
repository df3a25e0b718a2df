"""A stream that goes on from any position is the stream that was never stopped."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.sets import utterances

from mooer.data.batching import Batches, Budget, cut
from mooer.data.stages import Example, Keep, Limits, Mix, Rows, Share, Shuffle, Speeds
from mooer.data.supervision import Utterance
from mooer.errors import ConfigError, ManifestError


def names(stream, number):
    return [(x.utterance.id, x.epoch, x.speed) for x, _ in itertools.islice(stream, number)]


def frames(num_samples):
    return num_samples // 160


STAGES = {
    "rows": Rows(utterances(7)),
    "in order": Rows(utterances(5), seed=None),
    "two epochs": Rows(utterances(9), epochs=2),
    "share": Rows(utterances(11), share=Share(1, 3)),
    "shuffle": Shuffle(Rows(utterances(13), seed=None), 4, seed=3),
    "mix": Mix((Rows(utterances(5)), Rows(utterances(8, prefix="v"), "ast")), (1.0, 2.5)),
    "mix that ends": Mix(
        (Rows(utterances(3), epochs=1), Rows(utterances(9, prefix="v"), epochs=2)), (9.0, 1.0)
    ),
    "all": Speeds(
        Keep(
            Shuffle(
                Mix((Rows(utterances(20)), Rows(utterances(6, prefix="v"))), (1, 1), seed=5), 8
            ),
            Limits(0.5, 2.5),
        )
    ),
}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_going_on_is_not_stopping(stage, data):
    whole = list(itertools.islice(stage.stream(), 60))
    cut_at = data.draw(st.integers(1, len(whole)))
    state = json.loads(json.dumps(whole[cut_at - 1][1]))  # as it comes from a checkpoint
    rest = list(itertools.islice(stage.stream(state), 60 - cut_at))
    assert rest == whole[cut_at:]  # the items and their states


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 3))
def test_batches_go_on_too(cut_at, pool, seed):
    stage = Batches(STAGES["all"], frames, Budget(max_frames=600, max_utterances=4), pool, seed)
    whole = list(itertools.islice(stage.stream(), 45))
    rest = list(itertools.islice(stage.stream(whole[cut_at - 1][1]), 45 - cut_at))
    assert rest == whole[cut_at:]


def test_an_epoch_has_everything_once_and_the_next_is_in_another_order():
    stream = Rows(utterances(50), seed=1).stream()
    first, second = ([x.utterance.id for x, _ in itertools.islice(stream, 50)] for _ in range(2))
    assert sorted(first) == sorted(second) == sorted(u.id for u in utterances(50))
    assert first != second


def test_shares_are_apart_and_together_all():
    shares = [
        names(Rows(utterances(10), epochs=1, share=Share(i, 3)).stream(), 99) for i in (0, 1, 2)
    ]
    everything = [name for share in shares for name, _, _ in share]
    assert sorted(everything) == sorted(u.id for u in utterances(10))
    with pytest.raises(ConfigError, match="2 utterances cannot be shared by 3"):
        next(Rows(utterances(2), share=Share(0, 3)).stream())
    with pytest.raises(ConfigError, match="share 3 of 3"):
        Share(3, 3)


def test_a_mix_follows_its_weights():
    mix = Mix((Rows(utterances(9)), Rows(utterances(9, prefix="v"))), (3.0, 1.0))
    counts = Counter(x.utterance.id[0] for x, _ in itertools.islice(mix.stream(), 4000))
    assert abs(counts["u"] / 4000 - 0.75) < 0.03


def test_a_mix_of_what_ends_gives_all_of_it():
    got = [name for name, _, _ in names(STAGES["mix that ends"].stream(), 999)]
    assert Counter(name[0] for name in got) == {"u": 3, "v": 18}


def test_a_shuffle_keeps_all_and_changes_the_order():
    plain = names(Rows(utterances(40), seed=None, epochs=1).stream(), 99)
    mixed = names(Shuffle(Rows(utterances(40), seed=None, epochs=1), 10).stream(), 99)
    assert sorted(plain) == sorted(mixed)
    assert plain != mixed
    assert sorted(plain[:10]) == sorted(mixed[:10])


def test_what_is_dropped_is_counted():
    keep = Keep(Rows(utterances(200), epochs=1), Limits(0.5, 2.0))
    kept = [x for x, _ in keep.stream()]
    assert all(0.5 <= x.duration_s <= 2.0 for x in kept)
    assert keep.dropped["too short"] + keep.dropped["too long"] == 200 - len(kept)
    assert set(keep.dropped) == {"too short", "too long"}


def test_dropping_everything_ends_with_a_word(monkeypatch):
    monkeypatch.setattr("mooer.data.stages._MAX_DROPPED", 100)
    with pytest.raises(ManifestError, match=r"100 utterances in a row were dropped .*100 too long"):
        next(Keep(Rows(utterances(5)), Limits(0, 0.1)).stream())


def test_a_position_of_another_list_is_refused():
    _, state = next(Rows(utterances(7)).stream())
    with pytest.raises(ConfigError, match="7 utterances when the position was saved, and 8 now"):
        next(Rows(utterances(8)).stream(state))


def test_speed_changes_by_epoch_and_shortens():
    stream = Speeds(Rows(utterances(30)), (0.9, 1.0, 1.1)).stream()
    got = [x for x, _ in itertools.islice(stream, 90)]
    by_name = {}
    for x in got:
        by_name.setdefault(x.utterance.id, set()).add(x.speed)
        assert x.duration_s == pytest.approx(x.utterance.duration_s / x.speed)
    assert max(len(s) for s in by_name.values()) > 1
    with pytest.raises(ConfigError, match="between"):
        Speeds(Rows(utterances(1)), (3.0,))


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=80),
    st.integers(300, 2000),
    st.integers(1, 9),
    st.floats(0, 1),
)
def test_batches_keep_to_their_budget(lengths, max_frames, max_utterances, max_padding):
    budget = Budget(max_frames, max_utterances, max_padding)
    groups = cut(lengths, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        longest, total = max(lengths[i] for i in group), sum(lengths[i] for i in group)
        padded = longest * len(group)
        assert padded <= max_frames
        assert len(group) <= max_utterances
        assert padded - total <= max_padding * padded + 1e-6


def test_what_is_as_long_goes_by_what_is_written():
    silent = [
        Utterance(f"u{i}", "silence.wav", duration_s=0.4, translation="long" * (i % 2))
        for i in range(8)
    ]
    batches = Batches(Rows(silent, epochs=1), frames, Budget(max_utterances=4))
    groups = [{len(x.utterance.translation) for x in batch} for batch, _ in batches.stream()]
    assert sorted(groups, key=min) == [{0}, {4}]


def test_sorting_in_pools_leaves_little_padding():
    batches = Batches(Rows(utterances(2000), epochs=1), frames, Budget(3000), pool=1000)
    used = total = 0
    for batch, _ in batches.stream():
        sizes = [frames(round(x.duration_s * 16_000)) for x in batch]
        used, total = used + sum(sizes), total + max(sizes) * len(sizes)
    assert used / total > 0.95


def test_what_batches_cannot_be_made_of():
    with pytest.raises(ManifestError, match=r"u0 has .* frames, but a batch holds at most 10"):
        next(Batches(Rows(utterances(1)), frames, Budget(10)).stream())
    bare = Example(utterances(1)[0].__class__("a", "a.wav"))
    with pytest.raises(ManifestError, match="a has no duration"):
        _ = bare.duration_s
    with pytest.raises(ConfigError, match="max_padding"):
        Budget(max_padding=2)
    with pytest.raises(ConfigError, match="2 weights"):
        Mix((Rows(utterances(1)),), (1.0, 2.0))
    with pytest.raises(ConfigError, match="above 0"):
        Mix((Rows(utterances(1)),), (0.0,))


def test_random_numbers_depend_on_utterance_epoch_seed_and_purpose():
    one = utterances(2)[0]
    draws = [
        Example(one).rng(0, "wave").random(),
        Example(one, epoch=1).rng(0, "wave").random(),
        Example(one).rng(1, "wave").random(),
        Example(one).rng(0, "features").random(),
        Example(utterances(2)[1]).rng(0, "wave").random(),
    ]
    assert len(np.unique(draws)) == 5
    assert Example(one).rng(0, "wave").random() == draws[0]
