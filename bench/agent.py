"""A voice agent measured: latency from voice to voice, turn-taking, an hour of many; as Markdown.

    python bench/agent.py --shared ../shared --num 40 latency         # in virtual time
    python bench/agent.py --shared ../shared --num 10 latency --live  # threads, in real time
    python bench/agent.py --shared ../shared --num 6 --threads 1 latency --cpu  # on a busy machine
    python bench/agent.py --shared ../shared --num 20 duplex          # both ways to be interrupted
    python bench/agent.py soak --url http://127.0.0.1:8000 --minutes 30    # a server of yours

- latency: sentences of real speech whose true end is known (by hand where a set has word times,
  else by level), each in a conversation of its own. From that end to the first sound of the answer
  that can be heard, and what was waited for in between. In virtual time models run while the
  stream stands still, so this is a machine with a core for each; --live has them compete. Beside it
  the floor of a pipeline that waits for 1.2 s of silence and then does the same work in a row, and
  the silences inside answers, where the next clause was not there in time. --cpu counts seconds of
  one core instead of the clock's: slower than two cores, but good for comparing on a busy machine.
- duplex: `mooer agent bench`, once for each way of being interrupted, on the same scenarios.
- soak: see bench/agent_soak.py.

Run nothing else beside it. Weights are loaded and used once before anything is measured.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

from mooer.agent import score, waterfall
from mooer.agent.benchmark import run_bench, sounds_of, write_report
from mooer.agent.jobs import VirtualJobs
from mooer.agent.playout import Playout
from mooer.agent.scenarios import KINDS, Actor, Scenario
from mooer.agent.score import Outcome, Run
from mooer.agent.staging import Sounds, clips_of, stage
from mooer.cli.agent_parts import Agent, Wanted, agents_by_kind, open_agent
from mooer.data.manifest import read_jsonl
from mooer.errors import MooerError
from mooer.speak import load_speaker

Args = argparse.Namespace

SETS = {
    "en": ("timit_sample", "ljspeech", "speechocean762"),
    "zh": ("magicdata_cs", "aishell", "zh_misc"),
}
NOISES = ("esc10", "events_misc")
SILENCE_S = 1.2  # that CleanS2S waits for before it does anything


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--languages", nargs="+", default=["zh", "en"], choices=sorted(SETS))
    parser.add_argument("--num", type=int, default=20, help="scenarios a kind and language")
    parser.add_argument("--mind", help="embedded; reciter, which speaks long, to be interrupted")
    parser.add_argument("--speaker", default="kokoro-82m")
    parser.add_argument("--threads", type=int, help="of each model")
    parser.add_argument("--out", type=Path, default=Path("agent-bench"))
    parser.add_argument("--keep", action="store_true", help="the sound of every run")
    commands = parser.add_subparsers(dest="command", required=True)
    latency = commands.add_parser("latency")
    latency.add_argument("--live", action="store_true", help="through threads, in real time")
    latency.add_argument("--cpu", action="store_true", help="seconds of one core, for comparisons")
    duplex = commands.add_parser("duplex")
    duplex.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    duplex.add_argument("--barge-in", nargs="+", default=["pause", "wait"])
    soak = commands.add_parser("soak")
    soak.add_argument("--url", default="http://127.0.0.1:8000")
    soak.add_argument("--key", default="none")
    soak.add_argument("--model", default="", help="as the server calls the agent")
    soak.add_argument("--minutes", type=float, default=30.0)
    soak.add_argument("--sessions", type=int, default=10)
    soak.add_argument(
        "--pause", type=float, nargs=2, default=(20.0, 40.0), help="s between turns of one"
    )
    args = parser.parse_args()
    if args.command == "soak":
        import asyncio

        from agent_soak import run_soak

        asyncio.run(run_soak(args))
    else:
        {"latency": run_latency, "duplex": run_duplex}[args.command](args)


def manifests(args: Args, language: str) -> list[Path]:
    names = (*SETS[language], *NOISES)
    return [path for name in names if (path := args.shared / "data" / f"{name}.jsonl").exists()]


def wanted(args: Args, **changes: Any) -> Wanted:
    return Wanted(
        mind=args.mind or "embedded",
        speaker=args.speaker,
        threads=args.threads,
        changes=tuple(changes.items()),
    )


# --- latency --------------------------------------------------------------------------------------


def run_latency(args: Args) -> None:
    agent = open_agent(wanted(args))
    plan = [one for language in args.languages for one in sentences(args, language)]
    clock = time.process_time if args.cpu else time.perf_counter
    play = lived if args.live else partial(virtual, clock=clock)
    list(virtual(agent, plan[:1]))  # what is loaded or made ready at the first use
    began, runs, behind = time.perf_counter(), [], 0.0
    for run, outcome, late_s in play(agent, plan):
        runs.append((run, outcome))
        behind = max(behind, late_s)
    took_s = time.perf_counter() - began
    how = "seconds of one core" if args.cpu else "virtual time"
    print(f"Voice to voice, {'threads in real time' if args.live else how}\n")
    header = ["language", "sentences", "answered", "cut in", "median, s", "95 %, s", "most, s"]
    table(header, latency_rows(args, [outcome for _, outcome in runs]))
    falls = [fall for run, _ in runs for fall in waterfall.falls_of(run.events)]
    table(["waited for", "times", "median, s", "95 %, s"], waits(falls))
    print(f"Floor of {SILENCE_S:g} s of silence and the same work in a row: {floor(falls)}.\n")
    found = [gap_s for run, _ in runs for gap_s in gaps(run)]
    about_gaps = waterfall.percentiles(found)
    print(f"Silences inside {len(runs)} answers: {about_gaps}.\n")
    if args.live:
        print(f"The stream was at most {behind:.2f} s behind the clock.\n")
    sound_s = sum(len(run.user) for run, _ in runs) / 16_000
    print(f"{sound_s:.0f} s of conversation in {took_s:.0f} s.")
    about = {"agent": agent.name, "live": args.live}
    write_report(args.out / ("live" if args.live else "latency"), runs, about)


def sentences(args: Args, language: str) -> Iterator[Scenario]:
    """Turn-taking, every set in turn, no sentence twice."""
    found = [
        list(clips_of(read_jsonl(path)[: 4 * args.num], language, max_s=8.0))[: args.num]
        for path in manifests(args, language)
    ]
    found = [one for one in found if one]
    each = -(-args.num // max(1, len(found)))
    clips = [clip for one in found for clip in one[:each]][: args.num]
    made = stage(Sounds(clips, ()), language, num=len(clips), kinds=["turn_taking"])
    yield from (replace(one, tail_s=10.0) for one in made)


def gaps(run: Run) -> Iterator[float]:
    """Seconds for which an answer stood still because the next clause was not made yet."""
    for one, after in itertools.pairwise(run.stretches):
        if one.answer == after.answer:
            yield after.start_s - one.end_s


def virtual(
    agent: Agent, plan: Iterable[Scenario], clock: Callable[[], float] = time.perf_counter
) -> Iterator[tuple[Run, Outcome, float]]:
    for run, outcome in run_bench(lambda _: agent.session(VirtualJobs(clock)), plan):
        yield run, outcome, 0.0


class Lifelike(Actor):
    """An actor at the speed of life."""

    late_s = 0.0
    _began: float | None = None
    _num = 0

    def speak(self, num_samples: int, playout: Playout) -> Any:
        """The same, not before its time."""
        now = time.perf_counter()
        self._began = self._began or now
        ahead_s = self._began + self._num / 16_000 - now
        self._num += num_samples
        if ahead_s > 0:
            time.sleep(ahead_s)
        self.late_s = max(self.late_s, -ahead_s)
        return super().speak(num_samples, playout)


def lived(agent: Agent, plan: Iterable[Scenario]) -> Iterator[tuple[Run, Outcome, float]]:
    for scenario in plan:
        session = agent.session()
        actor = Lifelike(scenario)
        try:
            run = score.perform(session, scenario, actor)
        finally:
            session.close()
        yield run, score.outcome_of(run), actor.late_s


def latency_rows(args: Args, outcomes: Sequence[Outcome]) -> Iterator[list[Any]]:
    groups = [(one, [o for o in outcomes if o.language == one]) for one in args.languages]
    for name, group in [*groups, ("all", list(outcomes))]:
        values = [o.latency_s for o in group if o.latency_s is not None and not o.cut_in]
        found = waterfall.percentiles(values)
        numbers = [f"{found[key]:.2f}" if values else "-" for key in ("median", "p95", "max")]
        yield [name, len(group), len(values), sum(o.cut_in for o in group), *numbers]


def waits(falls: Sequence[waterfall.Fall]) -> Iterator[list[Any]]:
    for name, row in waterfall.summary(falls).items():
        if row["num"]:
            yield [name.replace("_", " "), row["num"], f"{row['median']:.3f}", f"{row['p95']:.3f}"]


def floor(falls: Sequence[waterfall.Fall]) -> str:
    """What was waited for behind the detection of the turn, after so much silence."""
    found = [
        SILENCE_S + sum(w.duration_s for w in fall.waits if w.name not in ("vad", "turn"))
        for fall in falls
        if fall.is_played
    ]
    return f"median {np.median(found):.2f} s" if found else "-"


# --- duplex ---------------------------------------------------------------------------------------


def run_duplex(args: Args) -> None:
    speaker = load_speaker(args.speaker)
    plan: list[Scenario] = []
    for language in args.languages:
        sounds = sounds_of(manifests(args, language), language, speaker, num=args.num)
        plan += stage(sounds, language, num=args.num, kinds=args.kinds)
    for barge_in in args.barge_in:
        agents = agents_by_kind(wanted(args, barge_in=barge_in), args.mind, args.kinds)
        folder = args.out / barge_in
        for agent in {one.name: one for one in agents.values()}.values():
            list(virtual(agent, plan[:1]))
        runs = list(
            run_bench(
                lambda one, agents=agents: agents[one.kind].session(VirtualJobs()),
                plan,
                folder=folder if args.keep else None,
            )
        )
        print(f"Interruptions: {barge_in}\n")
        table(score.HEADER, score.table_rows([outcome for _, outcome in runs]))
        write_report(
            folder,
            runs,
            {"agents": {kind: agent.name for kind, agent in agents.items()}, "barge_in": barge_in},
        )


if __name__ == "__main__":
    try:
        main()
    except MooerError as error:
        raise SystemExit(f"agent.py: {error}") from None
