"""Lists of inputs: files, folders, globs, wav.scp and JSONL manifests."""

from mooer.data.manifest import AUDIO_SUFFIXES, Item, inputs, safe_stem

__all__ = ["AUDIO_SUFFIXES", "Item", "inputs", "safe_stem"]
