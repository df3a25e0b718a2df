"""`mooer agent`: replay a recording through an agent, and measure how well one takes turns."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mooer.cli.agent_parts import (
    AgentThreads,
    KnowledgeFolder,
    MindName,
    PersonaFile,
    SpeakerName,
    TalkLanguage,
    VoiceName,
    Wanted,
    WithTools,
)

if TYPE_CHECKING:
    from mooer.agent.scenarios import Scenario
    from mooer.agent.score import Outcome, Run
    from mooer.cli.agent_parts import Agent
    from mooer.cli.feed import Block

logger = logging.getLogger(__name__)

app = typer.Typer(
    help="Replay recordings through a voice agent, and measure it.\n\n"
    "Example: mooer agent replay question.wav --out replayed/",
    no_args_is_help=True,
)

_TAIL_S = 2.5
Languages = Annotated[str, typer.Option("--languages", help="With commas: zh, en.")]


@app.command("replay")
def replay(
    recording: Annotated[
        Path,
        typer.Argument(help="A sound file, or a folder that `mooer talk --record` wrote."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for what comes of it.")
    ] = None,
    persona: PersonaFile = None,
    mind: MindName = "embedded",
    speaker: SpeakerName = "kokoro-82m",
    voice: VoiceName = None,
    language: TalkLanguage = None,
    knowledge: KnowledgeFolder = None,
    tools: WithTools = False,
    threads: AgentThreads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print an event a line.")] = False,
) -> None:
    """Hear a recording as the user, faster than life, and write what would have been said.

    Example: mooer agent replay question.wav --out replayed/

    Example: mooer agent replay monday/ --out again/ --speaker piper-joe

    Times are those that this machine would have taken. Of a folder that was recorded the user's
    side alone is heard.
    """
    wanted = Wanted(persona, mind, speaker, voice, language, knowledge, tools, threads)
    replay_to(wanted, recording, out, as_json=as_json)


def replay_to(wanted: Wanted, recording: Path, out: Path | None, *, as_json: bool) -> None:
    """Replay a recording, show its events, and keep them in `out` if there is one."""
    import contextlib

    from mooer.agent.duplex import Recorded, converse
    from mooer.agent.jobs import VirtualJobs
    from mooer.agent.recorder import Recorder
    from mooer.cli.agent_parts import open_agent
    from mooer.cli.talk_view import JsonLines, Lines

    with contextlib.ExitStack() as stack:
        blocks = stack.enter_context(contextlib.closing(user_blocks(recording)))
        first = next(blocks)  # before any weights are loaded: what cannot be read is said at once
        agent = open_agent(wanted)
        recorder = None
        if out is not None:
            recorder = stack.enter_context(Recorder(out, source=str(recording), model=agent.name))
        jobs = VirtualJobs()
        stack.callback(jobs.close)
        session = agent.session(jobs)
        stack.callback(session.close)
        view: Any = stack.enter_context(JsonLines() if as_json else Lines())
        sound = _chained(first, blocks)
        user = Recorded(sound, tail_s=_TAIL_S, is_quiet=lambda: session.is_quiet)
        for frame in converse(session, user):
            for event in frame.events:
                view.show(event)
            if recorder is not None:
                recorder.push(frame.user, frame.agent)
                recorder.note(frame.events)
    if out is not None:
        logger.info("written to %s", out)


def _chained(first: Block, blocks: Generator[Block, None, None]) -> Generator[Block, None, None]:
    yield first
    yield from blocks


def user_blocks(recording: Path) -> Generator[Block, None, None]:
    """The user's side of a recording, a second at a time; AudioError if it cannot be read.

    Of a recorded conversation that is the left channel; of any other file all of it.
    """
    import wave

    import numpy as np

    from mooer.agent.recorder import SOUND
    from mooer.audio.wave import open_wave
    from mooer.errors import AudioError, ConfigError

    if not recording.exists():
        raise ConfigError(f"no such file: {str(recording)!r}; check the path")
    path = recording / SOUND if recording.is_dir() else recording
    if path.name != SOUND or not (path.parent / "events.jsonl").exists():
        if recording.is_dir():
            raise ConfigError(f"{recording} is no recorded conversation: it holds no {SOUND}")
        with open_wave(path) as sound:
            yield from sound.blocks(1.0)
        return
    try:
        with wave.open(str(path), "rb") as file:
            num_channels, rate_hz = file.getnchannels(), file.getframerate()
            while data := file.readframes(rate_hz):
                frames = np.frombuffer(data, "<i2").reshape(-1, num_channels)
                yield frames[:, 0].astype(np.float32) / 32768
    except (wave.Error, EOFError, ValueError) as error:
        raise AudioError(f"{path} cannot be read ({error}): replay another recording") from error


@app.command("bench")
def bench(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables, pictures, sounds.")],
    speech: Annotated[
        list[Path] | None,
        typer.Option(help="Real speech: manifests (.jsonl) or folders of them; may be repeated."),
    ] = None,
    scenarios: Annotated[
        Path | None, typer.Option(help="Scenarios of an earlier run, instead of new ones.")
    ] = None,
    num: Annotated[int, typer.Option(min=1, help="Scenarios of each kind and language.")] = 5,
    kinds: Annotated[str, typer.Option(help="With commas. [default: all]")] = "",
    languages: Languages = "zh,en",
    mind: Annotated[
        str | None,
        typer.Option(
            help="As of talk. [default: embedded; reciter, which speaks long, to be interrupted]"
        ),
    ] = None,
    speaker: SpeakerName = "kokoro-82m",
    barge_in: Annotated[
        str,
        typer.Option(
            help="pause: stop at once, and go on if it was none; duck: soften; wait: for words."
        ),
    ] = "pause",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the sound of every run.")] = False,
    seed: Annotated[int, typer.Option(help="Of delays, pauses and rooms.")] = 0,
    threads: AgentThreads = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print rates and seconds.")] = False,
) -> None:
    """Measure turn-taking: scenarios of two channels, faster than life, as Full-Duplex-Bench does.

    Example: mooer agent bench --speech data/timit.jsonl --languages en --num 20 --out bench/

    Example: mooer agent bench --scenarios bench/scenarios --out again/ --barge-in wait

    Without --speech every sentence is spoken by the speaker itself.
    """
    from mooer.agent.benchmark import manifests_in, write_report
    from mooer.agent.scenarios import read_scenarios, write_scenarios
    from mooer.agent.score import to_markdown
    from mooer.cli.agent_parts import agents_by_kind

    chosen = parse_kinds(kinds)
    named = [one.strip() for one in languages.split(",")]
    manifests = manifests_in(speech or [])
    if scenarios is None:
        made = make_scenarios(manifests, named, num, chosen, speaker, seed)
        scenarios = write_scenarios(out / "scenarios", made).parent
    plan = [one for one in read_scenarios(scenarios) if one.kind in chosen]
    changes = (("barge_in", barge_in),)
    wanted = Wanted(speaker=speaker, threads=threads, changes=changes)
    agents = agents_by_kind(wanted, mind, (one.kind for one in plan))
    runs = play_all(agents, plan, out if keep else None)
    names = {kind: agent.name for kind, agent in agents.items()}
    about = {"agents": names, "barge_in": barge_in, "speech": [p.name for p in manifests]}
    write_report(out, runs, about)
    if as_json:
        typer.echo((out / "bench.json").read_text("utf-8"), nl=False)
    else:
        typer.echo(to_markdown([outcome for _, outcome in runs]), nl=False)
    logger.info("written to %s", out)


def parse_kinds(text: str) -> tuple[Any, ...]:
    """Kinds of scenarios, all for ""; ConfigError names the nearest."""
    from mooer.agent.scenarios import KINDS
    from mooer.errors import ConfigError, did_you_mean

    found = tuple(one.strip().replace("-", "_") for one in text.split(",") if one.strip())
    for one in found:
        if one not in KINDS:
            raise ConfigError(f"unknown kind {one!r}: {did_you_mean(one, KINDS)}")
    return found or KINDS


def make_scenarios(
    manifests: list[Path],
    languages: list[str],
    num: int,
    kinds: tuple[Any, ...],
    speaker: str,
    seed: int,
) -> list[Scenario]:
    """New scenarios of real speech and of what a speaker says."""
    from mooer.agent.benchmark import sounds_of
    from mooer.agent.staging import REQUESTS, stage
    from mooer.errors import ConfigError, did_you_mean
    from mooer.speak import load_speaker

    for language in languages:
        if language not in REQUESTS:
            raise ConfigError(f"no scenarios in {language!r}: {did_you_mean(language, REQUESTS)}")
    voice = load_speaker(speaker)
    made: list[Scenario] = []
    for language in languages:
        sounds = sounds_of(manifests, language, voice, num=num)
        made += stage(sounds, language, num=num, kinds=kinds, seed=seed)
    return made


def play_all(
    agents: Mapping[str, Agent], plan: list[Scenario], folder: Path | None
) -> list[tuple[Run, Outcome]]:
    """Play them one after the other in virtual time; progress is shown."""
    from mooer.agent.benchmark import run_bench
    from mooer.agent.jobs import VirtualJobs
    from mooer.cli.progress import Tally

    found = []
    with Tally("scenarios") as progress:
        for run, outcome in run_bench(
            lambda one: agents[one.kind].session(VirtualJobs()), plan, folder=folder
        ):
            found.append((run, outcome))
            progress(len(found), len(plan), run.scenario.name)
    return found
