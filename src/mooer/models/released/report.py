"""What a folder of weights is, and whether all of it is there: read, compared, nothing loaded.

Weights are looked at tensor by tensor, from disk; those of an LLM by name and shape alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from mooer.audio.features import load_cmvn
from mooer.config import read_yaml
from mooer.errors import MooerError
from mooer.models.adapter import build_adapter
from mooer.models.funasr_folder import CONFIG as FUNASR_CONFIG
from mooer.models.funasr_folder import WEIGHTS, network_file, read_config, read_frontend
from mooer.models.funasr_weights import read_weights
from mooer.models.load import ADAPTER, CONFIG, ENCODER, LORA, build_encoder, locate
from mooer.models.lora import read_lora, same_lora
from mooer.models.paraformer import FULL as FULL_PARAFORMER
from mooer.models.paraformer import Paraformer
from mooer.models.paraformer import config_of as paraformer_config
from mooer.models.paraformer_folder import holds_paraformer, read_tokens
from mooer.models.paraformer_folder import read_settings as read_paraformer
from mooer.models.released.checksums import ADAPTER as ADAPTER_FILE
from mooer.models.released.checksums import FileCheck, check_encoder, check_llm
from mooer.models.released.deepspeed import describe
from mooer.models.released.load import WITHOUT_MD5, task_checks
from mooer.models.released.pieces import (
    CMVN_FILE,
    ENCODER_FILE,
    Piece,
    adapter_piece,
    encoder_piece,
    lora_piece,
    num_parameters,
    skeleton,
)
from mooer.models.released.places import Places, choose_llm, find, is_task, llm_width, read_task
from mooer.models.sense_voice import FULL as FULL_SENSE_VOICE
from mooer.models.sense_voice import SenseVoice, config_of
from mooer.models.sense_voice_folder import holds_sense_voice, read_settings, vocabulary_file
from mooer.models.sense_voice_labels import read_vocabulary
from mooer.models.speech_llm import ModelConfig
from mooer.models.tensors import (
    Comparison,
    Tensors,
    compare,
    read_shapes,
    read_tensors,
    shapes_of,
)
from mooer.store.lora import CONFIG as LORA_CONFIG

_SANM_WIDTH = 512  # of the encoder that an adapter is for, where none lies beside it


@dataclass
class Report:
    """The parts of a folder, with their tensors compared, and what is wrong with it."""

    folder: str
    kind: str = ""
    pieces: list[Piece] = field(default_factory=list)
    files: list[FileCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether everything in it is whole and is what it says it is."""
        whole = all(piece.comparison.fits for piece in self.pieces)
        return bool(self.pieces) and whole and not self.problems


def inspect(
    folder: str | os.PathLike[str], *, check_md5: bool = True, lora_alpha: float | None = None
) -> Report:
    """Look at a folder: mooer's own, MooER's, DeepSpeed's, FunASR's, peft's or an LLM's."""
    return _Inspection(Path(folder), check_md5, lora_alpha).report


class _Inspection:
    """One look at one folder."""

    def __init__(self, root: Path, check_md5: bool, lora_alpha: float | None) -> None:
        self.root = root
        self.check_md5 = check_md5
        self.lora_alpha = lora_alpha
        self.report = Report(str(root))
        if not root.is_dir():
            self.report.kind = "nothing"
            self.report.problems.append(f"{root} is no folder")
            return
        with self._noting():
            kind, look = self._kind()
            self.report.kind = kind
            look()

    def _kind(self) -> tuple[str, Callable[[], None]]:
        root = self.root
        if (root / CONFIG).is_file():
            return "a speech LLM saved by mooer", self._saved
        if holds_sense_voice(root):
            return "SenseVoiceSmall", self._sense_voice
        if holds_paraformer(root):
            return str(read_config(root / FUNASR_CONFIG)["model"]), self._paraformer
        places = find(root)
        if places.tasks:
            tasks = ", ".join(places.tasks)
            if (root / ADAPTER_FILE).is_file():
                kind = "one task of a"
            elif is_task(root):
                kind = f"DeepSpeed's checkpoint ({describe(root)}) of a"
            else:
                kind = "a"
            return f"{kind} speech LLM in MooER's layout, tasks: {tasks}", self._mooer
        return self._part_kind(places.encoder)

    def _part_kind(self, encoder: Path | None) -> tuple[str, Callable[[], None]]:
        """What it is if it is no whole model."""
        root = self.root
        if (root / LORA_CONFIG).is_file():
            return "LoRA as peft writes it, without its LLM", self._lora
        if llm_width(root):
            return "an LLM as transformers writes it", lambda: self._llm(root)
        if encoder is not None:
            return "MooER's speech encoder", lambda: self._just_encoder(encoder)
        return "nothing known", self._unknown

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """What is raised inside becomes a problem of the report."""
        try:
            yield
        except MooerError as error:
            self.report.problems.append(str(error))

    def _unknown(self) -> None:
        names = ", ".join(sorted(path.name for path in self.root.iterdir())[:8]) or "nothing"
        self.report.problems.append(
            f"it holds {names}, but none of {CONFIG}, {LORA_CONFIG}, config.json, {ENCODER_FILE}, "
            f"adapter_project.pt or a checkpoint of DeepSpeed"
        )

    def _saved(self) -> None:
        root = self.root
        config = locate(read_yaml(ModelConfig, root / CONFIG), root)
        with torch.device("meta"):
            encoder = build_encoder(replace(config.encoder, weights=None))
        if config.encoder.weights is None:
            says = f"{config.encoder.name} of width {encoder.width}"
            self._module("encoder", encoder, root / ENCODER, says)
        else:
            self.report.notes.append(f"the encoder is read from {config.encoder.weights}")
        llm = skeleton(Path(config.llm.path))
        width = int(llm.get_input_embeddings().weight.shape[1])
        with torch.device("meta"):
            adapter = build_adapter(config.adapter, encoder.width, width)
        says = f"{config.adapter.name}, {encoder.width} to {width}, stride {adapter.stride}"
        self._module("adapter", adapter, root / ADAPTER, says)
        with self._noting():
            self._llm(Path(config.llm.path), is_base=True)
        if config.llm.lora is not None:
            lora = read_lora(root / LORA)
            if not same_lora(lora.config, config.llm.lora):
                self.report.problems.append(
                    f"{root / LORA} and {CONFIG} differ in rank, alpha or targets"
                )
            self.report.pieces.append(lora_piece(lora.config, lora.tensors, lora.source, llm))

    def _module(self, name: str, module: torch.nn.Module, path: Path, says: str) -> None:
        with self._noting():
            tensors = read_tensors(path)
            comparison = compare(shapes_of(module.state_dict()), tensors)
            count = num_parameters(shapes_of(tensors))
            self.report.pieces.append(Piece(name, str(path), says, count, comparison))

    def _mooer(self) -> None:
        places = find(self.root)
        in_width = _SANM_WIDTH
        if places.encoder is None:
            self.report.problems.append(f"no paraformer_encoder/{ENCODER_FILE} in it or beside it")
        else:
            with self._noting():
                in_width = self._encoder(places.encoder)
        for folder in places.tasks.values():
            with self._noting():
                self._task(places, folder, in_width)
        for folder in places.llms:
            with self._noting():
                self._llm(folder)
        if not places.llms:
            self.report.notes.append("no LLM lies in it: give its path as llm when loading")

    def _sense_voice(self) -> None:
        settings = read_settings(self.root)
        with self._noting():
            read_frontend(self.root, settings.front)
        vocabulary = None
        with self._noting():
            vocabulary = read_vocabulary(vocabulary_file(self.root))
        if not self._weights():
            return
        tensors = read_weights(self.root / WEIGHTS)
        config = config_of(settings, shapes_of(tensors))
        with torch.device("meta"):
            network = SenseVoice(config)
        says = (
            f"SAN-M, {settings.encoder.num_blocks} + {settings.num_tp_blocks} blocks of width "
            f"{config.encoder.width}, {config.num_classes} classes"
        )
        self._network(network, tensors, says, FULL_SENSE_VOICE)
        if vocabulary is not None:
            vocabulary.require(config.num_classes)

    def _paraformer(self) -> None:
        settings = read_paraformer(self.root)
        with self._noting():
            read_frontend(self.root, settings.front)
        tokens = None
        with self._noting():
            tokens = read_tokens(self.root)
        if not self._weights():
            return
        tensors = read_weights(self.root / WEIGHTS)
        config = paraformer_config(settings, shapes_of(tensors))
        with torch.device("meta"):
            network = Paraformer(config)
        says = (
            f"SAN-M, {settings.encoder.num_blocks} blocks of width {config.encoder.width}, decoder "
            f"of {settings.decoder.num_blocks}, {config.num_tokens} tokens"
        )
        self._network(network, tensors, says, FULL_PARAFORMER)
        if tokens is not None:
            tokens.require(config.num_tokens)

    def _weights(self) -> bool:
        """Whether there is a model.pt; a network for onnxruntime is a piece, not looked at."""
        if (self.root / WEIGHTS).is_file():
            return True
        says = "a network for onnxruntime, whose tensors are not looked at"
        piece = Piece("network", str(network_file(self.root)), says, 0, Comparison())
        self.report.pieces.append(piece)
        return False

    def _network(self, network: torch.nn.Module, tensors: Tensors, says: str, full: int) -> None:
        count = num_parameters(shapes_of(tensors))
        known = "the released size" if count == full else "not the released size"
        comparison = compare(shapes_of(network.state_dict()), tensors)
        path = str(self.root / WEIGHTS)
        self.report.pieces.append(Piece("network", path, f"{says} ({known})", count, comparison))

    def _just_encoder(self, folder: Path) -> None:
        self._encoder(folder)

    def _encoder(self, folder: Path) -> int:
        """Returns its width."""
        if self.check_md5:
            self._note_md5(check_encoder(folder))
        path = folder / ENCODER_FILE
        config, piece = encoder_piece(read_tensors(path), path)
        self.report.pieces.append(piece)
        cmvn = folder / CMVN_FILE
        if not cmvn.is_file():
            self.report.problems.append(f"{cmvn} is missing")
            return config.width
        has, wanted = len(load_cmvn(cmvn).shift), config.num_mels * config.num_stack
        if has != wanted:
            self.report.problems.append(
                f"{cmvn} normalises {has} values, but the encoder reads {wanted}"
            )
        return config.width

    def _task(self, places: Places, folder: Path, in_width: int) -> None:
        report, task = self.report, read_task(folder, self.lora_alpha)
        if folder != self.root and not (folder / ADAPTER_FILE).is_file():
            report.notes.append(f"{folder} is DeepSpeed's ({describe(folder)})")
        if task.encoder:
            report.pieces.append(encoder_piece(task.encoder, task.path)[1])
        _, width, piece = adapter_piece(task.adapter, in_width, task.path)
        report.pieces.append(piece)
        if self.check_md5:
            self._note_md5(task_checks(task.path.parent, width))
            if width == WITHOUT_MD5:
                report.notes.append(f"no md5 is published for {folder}: only shapes are checked")
        if task.num_frozen:
            report.notes.append(f"{task.num_frozen} tensors of the LLM itself are not read")
        llm = None
        if places.llms:
            with self._noting():
                llm = skeleton(choose_llm(places, folder, width))
        if task.lora_config is None or task.lora_path is None:
            report.notes.append(f"{folder} has no LoRA")
            return
        report.pieces.append(lora_piece(task.lora_config, task.lora, task.lora_path, llm))

    def _lora(self) -> None:
        lora = read_lora(self.root)
        self.report.pieces.append(lora_piece(lora.config, lora.tensors, lora.source))

    def _llm(self, folder: Path, *, is_base: bool = False) -> None:
        """Names and shapes of an LLM's files beside those that its config.json asks for."""
        if folder.is_file():
            self.report.notes.append(f"{folder} is a GGUF file: its tensors are not looked at")
            return
        if self.check_md5 and not is_base:
            self._note_md5(check_llm(folder))
        model, found = skeleton(folder), read_shapes(folder)
        wanted = shapes_of(model.state_dict())
        if model.config.tie_word_embeddings:
            tied = set(getattr(model, "_tied_weights_keys", None) or ())
            wanted = {n: s for n, s in wanted.items() if n not in tied or n in found}
        says = f"{model.config.model_type} of width {model.config.hidden_size}, shapes alone"
        count = num_parameters(found)
        piece = Piece("LLM", str(folder), says, count, compare(wanted, found))
        self.report.pieces.append(piece)

    def _note_md5(self, checks: list[FileCheck]) -> None:
        self.report.files += checks
        self.report.problems += [check.fault() for check in checks if not check.good]
