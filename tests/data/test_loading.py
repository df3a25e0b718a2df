"""Batches with sound: the same whoever makes them, wherever one goes on, whatever fails."""

import itertools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.data.sets import recorded

from mooer.audio.augment import SpecAugment, WaveAugment
from mooer.audio.frontend import KaldiLfr, LogMel
from mooer.batch import AUDIO, IGNORE
from mooer.data.batching import Batches, Budget
from mooer.data.collate import Collator, Failure, FeatureReader, answer_text
from mooer.data.loading import Loader
from mooer.data.pack import PackOptions, pack
from mooer.data.shards import Shards, find_shards
from mooer.data.stages import Example, Mix, Rows, Shuffle, Speeds
from mooer.data.supervision import Utterance
from mooer.errors import AudioError, ConfigError, ManifestError

torch = pytest.importorskip("torch")


class Bytes:
    def encode(self, text, *, add_special_tokens=False):
        return list(text.encode())


def tenth(num_samples):
    return num_samples // 1600


def collator(**options):
    read = FeatureReader(
        LogMel(80),
        WaveAugment(noise_prob=0.5, room_prob=0.5, gain_db=(-6, 6)),
        SpecAugment(2, 10, num_mel_masks=2, max_mel_mask=10, max_warp_frames=3),
        seed=7,
    )
    return replace(Collator(read, tenth, Bytes(), "mooer", pad_id=0), **options)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    manifest, first = recorded(folder / "a", 9)
    _, second = recorded(folder / "b", 6, prefix="v", suffix=".flac", seed=1)
    pack(manifest, folder / "shards", PackOptions(per_shard=3))
    return first, second, find_shards(folder / "shards")


def stage(sets):
    """From shards with bytes and rows without, mixed, at several speeds; epochs of 9 and 6."""
    _, second, lists = sets
    mix = Mix((Shuffle(Shards(lists, seed=1), 4), Rows(second, "ast")), (2, 1))
    return Batches(Speeds(mix), LogMel(80).num_features, Budget(300, 4, 0.5), pool=7)


def same(one, other):
    (a, state_a), (b, state_b) = one, other
    assert a.keys == b.keys
    assert state_a == state_b
    for name in ("features", "feature_lengths", "ids", "labels", "mask"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


def take(sets, number, state=None, **options):
    with Loader(stage(sets).stream(state), collator(), **options) as loader:
        return list(itertools.islice(loader, number))


def test_any_number_of_workers_makes_the_same_batches(sets):
    whole = take(sets, 14, num_workers=0)
    for options in ({"num_workers": 1}, {"num_workers": 3, "ahead": 4}):
        for one, other in zip(whole, take(sets, 14, **options), strict=True):
            same(one, other)


def test_processes_make_the_same_batches_and_go_on(sets):
    whole = take(sets, 12, num_workers=0)
    rest = take(sets, 8, whole[3][1], num_workers=2, kind="process")
    for one, other in zip(whole[4:], rest, strict=True):
        same(one, other)


def test_going_on_with_threads_is_not_stopping_at_any_batch(sets):
    whole = take(sets, 13, num_workers=0)
    seen = {key for batch, _ in whole for key in batch.keys}
    assert len([k for batch, _ in whole for k in batch.keys]) > len(seen)  # past an epoch
    for cut_at in range(1, 12):
        for one, other in zip(
            whole[cut_at:], take(sets, 13 - cut_at, whole[cut_at - 1][1]), strict=True
        ):
            same(one, other)


def test_what_a_batch_holds(sets):
    (first, second, *_) = sets[0]
    read = FeatureReader(KaldiLfr())
    batch = collator(read=read)([Example(first), Example(second, "ast")])
    assert batch.keys == (first.id, second.id)
    frames = [KaldiLfr().num_features(round(u.duration_s * 16_000)) for u in (first, second)]
    assert batch.feature_lengths.tolist() == frames
    assert batch.features.shape == (2, max(frames), 560)
    short = int(np.argmin(frames))
    assert not batch.features[short, frames[short] :].any()
    for row, utterance, words in (
        (0, first, "text 0<|im_end|>"),
        (1, second, "Text 1<|im_end|>"),
    ):
        num_places = int((batch.ids[row] == AUDIO).sum())
        assert num_places == tenth(round(utterance.duration_s * 16_000))
        learned = batch.labels[row][batch.labels[row] != IGNORE]
        assert bytes(learned.tolist()).decode() == words
        assert torch.equal(batch.ids[row][batch.labels[row] != IGNORE], learned)
        text = batch.ids[row][batch.mask[row] & (batch.ids[row] != AUDIO)]
        assert bytes(text.tolist()).decode().startswith("<|im_start|>system")
    lengths = batch.mask.sum(1)
    assert batch.mask[:, 0].all()  # padded to the right
    assert lengths.max() == batch.ids.shape[1] > lengths.min()


def test_for_decoding_padding_is_on_the_left_and_no_answer_is_there(sets):
    batch = collator(side="left", with_answers=False)([Example(u) for u in sets[0][:3]])
    assert batch.mask[:, -1].all()
    assert (batch.labels == IGNORE).all()
    assert not batch.ids[~batch.mask].any()


def test_augmentation_changes_by_epoch_and_not_by_chance(sets):
    read = collator().read
    one, again, later = (read.read(Example(sets[0][0], epoch=e)).values for e in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, later)


def test_prompts_and_labels_of_an_utterance():
    one = Utterance("a", "a.wav", text="你好", gender="female", emotion="happy", answer="嗯")
    assert answer_text("osum", "asr_gender", one) == "你好<female>"
    assert answer_text("osum", "asr_chat", one) == "你好<开始回答>嗯"
    with pytest.raises(ManifestError, match="task asr_age needs age as a word, got None"):
        answer_text("osum", "asr_age", one)
    with pytest.raises(ManifestError, match="needs a translation"):
        answer_text("mooer", "ast", one)
    asked = replace(one, prompt="Who?")
    layout = collator(template="salmonn").layout(Example(asked, "chat"), 3200)
    assert b"</Speech> Who?\nASSISTANT:" in bytes(i for i in layout.ids if i != AUDIO)


def broken(sets, tmp_path):
    good = sets[0]
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    return [
        replace(good[0], id="gone", audio=str(tmp_path / "gone.wav")),
        replace(good[1], id="broken", audio=str(tmp_path / "b.wav")),
        replace(good[2], id="mute", text=None),
        *good[3:6],
    ]


def test_what_cannot_be_read_is_an_error_that_names_it(sets, tmp_path):
    for one, message in zip(broken(sets, tmp_path)[:3], ("gone", "broken", "mute"), strict=True):
        with pytest.raises((AudioError, ManifestError), match=f"^{message}: "):
            collator()([Example(one)])


def test_or_it_is_skipped_and_counted(sets, tmp_path, caplog):
    collate = collator(on_error="skip")
    rows = Batches(
        Rows(broken(sets, tmp_path), epochs=2), LogMel(80).num_features, Budget(300, 1), pool=6
    )
    with Loader(rows.stream(), collate) as loader:
        got = list(loader)
    assert sorted(k for batch, _ in got for k in batch.keys) == sorted(
        [u.id for u in sets[0][3:6]] * 2
    )
    assert collate.skipped.total() == 6
    assert "skipped gone" in caplog.text
    with pytest.raises(AudioError, match="none of 1 utterances could be read"):
        collate([Example(broken(sets, tmp_path)[0])])


def test_an_unknown_task_is_never_skipped(sets):
    with pytest.raises(ConfigError, match="has no task 'asrr'"):
        collator(on_error="skip")([Example(sets[0][0], "asrr")])


def test_features_beyond_the_models_limit(sets):
    (failure,) = FeatureReader(LogMel(80), max_frames=5)([Example(sets[0][0])])
    assert isinstance(failure, Failure)
    assert "at most 5" in failure.reason


def test_a_failure_of_the_stream_reaches_the_caller_in_its_place(sets):
    def stream():
        yield (Example(sets[0][0]),), {}
        raise ManifestError("the disk is gone")

    with Loader(stream(), collator(), num_workers=2) as loader:
        next(loader)
        with pytest.raises(ManifestError, match="the disk is gone"):
            next(loader)
        with pytest.raises(StopIteration):
            next(loader)


def test_closing_early_ends_the_workers(sets):
    loader = Loader(stage(sets).stream(), collator(), num_workers=2)
    next(loader)
    loader.close()
    loader.close()
    with pytest.raises(StopIteration):
        next(loader)
    with pytest.raises(ConfigError, match="num_workers"):
        Loader(stage(sets).stream(), collator(), num_workers=-1)


class Killer:
    num_mels = 1

    def num_features(self, num_samples):
        return 1

    def __call__(self, samples):
        os._exit(3)


def test_a_process_that_dies_is_told(sets):
    stream = iter([((Example(sets[0][0]),), {})])
    collate = collator(read=FeatureReader(Killer()))
    with (
        Loader(stream, collate, num_workers=1, kind="process") as loader,
        pytest.raises(AudioError, match="has died"),
    ):
        next(loader)


LONE = """
import os, sys, time
from mooer.data.processes import process_pool

def ready():
    os.write(1, b"%d\\n" % os.getpid())

if __name__ == "__main__":
    pool = process_pool(2, keep_on_signals=True, begin=ready)
    for _ in range(2):
        pool.submit(time.sleep, 0.01)
    time.sleep(60)
"""


def test_workers_outlive_signals_but_not_their_parent(tmp_path):
    (tmp_path / "lone.py").write_text(LONE)
    parent = subprocess.Popen([sys.executable, tmp_path / "lone.py"], stdout=subprocess.PIPE)
    with parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        for number in (signal.SIGINT, signal.SIGTERM):
            for worker in workers:
                os.kill(worker, number)
        time.sleep(0.3)
        assert all(runs(worker) for worker in workers)
        parent.kill()
    end_s = time.monotonic() + 10
    while any(runs(worker) for worker in workers) and time.monotonic() < end_s:
        time.sleep(0.05)
    assert not any(runs(worker) for worker in workers)


def runs(pid):
    """Whether a process is there, and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_part_beyond_the_end(sets):
    one = replace(sets[0][0], start_s=99.0)
    (failure,) = FeatureReader(LogMel(80))([Example(one)])
    assert "begins at 99.00 s" in failure.reason
    assert Path(one.audio).exists()
