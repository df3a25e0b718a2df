"""The same sentences and the same models in pipecat: from the true end of each to its first sound.

    pip install --target rival "pipecat-ai[silero,whisper]==1.14.0"
    PYTHONPATH=rival:src python bench/agent_rival.py --shared ../shared --num 10
    python bench/agent.py --num 10 latency --live            # ours, to be set beside it

Pipecat's own VAD (Silero), Smart Turn and faster-whisper with its defaults, over the files of
whisper-base; its client of OpenAI's chat completions, with our embedded mind behind a loopback
address; Kokoro as a speech service of a few lines, since its own wants another file of that model.
Both hear sentences at the speed of life, on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import EndFrame, InputAudioRawFrame, TTSAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.services.whisper.stt import WhisperSTTService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner
from tables import table

from agent import SETS, sentences
from mooer.agent.mind import Turn
from mooer.agent.minds import MINDS
from mooer.agent.waterfall import percentiles
from mooer.speak import Voice, load_speaker
from mooer.speak.voicing import written_language
from mooer.store import fetch

RATE_HZ = 16_000
_FRAME = 320
_AUDIBLE = 0.003  # RMS: -50 dB under full scale
_PATIENCE_S = 60.0
_QUIET_S = 1.5  # without a sound: the answer is over
SYSTEM = "You are a friendly and dependable voice assistant."


def serve_mind() -> str:
    """Our embedded mind at an address, as OpenAI's chat completions stream."""
    mind = MINDS.load("embedded").open()
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            turns = [
                Turn(m["role"], m["content"]) for m in body["messages"] if m["role"] != "system"
            ]
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            # A client that is interrupted leaves.
            with contextlib.suppress(ConnectionError), one_at_a_time:
                for piece in mind.answer(turns, system=SYSTEM):
                    self._send({"choices": [{"index": 0, "delta": {"content": str(piece)}}]})
                self._send({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")

        def _send(self, data: dict[str, Any]) -> None:
            event = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
            self.wfile.write(f"data: {json.dumps({**event, **data})}\n\n".encode())
            self.wfile.flush()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


class Kokoro(TTSService):
    """Our speaker as a service of pipecat."""

    def __init__(self, name: str) -> None:
        settings = TTSSettings(model=None, voice=None, language=None)
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            stop_frame_timeout_s=15.0,  # of a slow machine
            settings=settings,
        )
        self._speaker = load_speaker(name, num_threads=2)
        self._voice = Voice.parse(self._speaker.voices[0])

    async def run_tts(self, text: str, context_id: str) -> Any:
        """The sound of a sentence."""
        language = written_language(text) or "en"
        samples = await asyncio.to_thread(self._speaker.speak, text, language, self._voice)
        audio = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        yield TTSAudioRawFrame(
            audio=audio,
            sample_rate=self._speaker.rate_hz,
            num_channels=1,
            context_id=context_id,
        )


class Ear(BaseOutputTransport):
    """Notes when something that can be heard is played, and plays at the speed of life."""

    heard_s: float | None = None  # the first since it was set to None
    last_s = 0.0

    async def start(self, frame: Any) -> None:
        """Ready at once."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: Any) -> bool:
        """One piece of what is to be heard."""
        samples = np.frombuffer(frame.audio, "<i2").astype(np.float32) / 32768
        loud = [
            i
            for i in range(0, len(samples), 240)
            if np.sqrt(np.mean(samples[i : i + 240] ** 2)) > _AUDIBLE
        ]
        if loud:
            self.last_s = time.perf_counter()
            if self.heard_s is None:
                self.heard_s = self.last_s + loud[0] / frame.sample_rate
        await asyncio.sleep(len(samples) / frame.sample_rate)
        return True


class Mouth(BaseInputTransport):
    """Says the sentences one after the other, each when the answer to the last has been heard."""

    def __init__(self, params: TransportParams, plan: list[Any], ear: Ear, context: Any) -> None:
        super().__init__(params)
        self._plan, self._ear, self._context = plan, ear, context
        self.latencies: list[tuple[str, float | None]] = []
        self.is_done = asyncio.Event()

    async def start(self, frame: Any) -> None:
        """Begin to speak."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._task = self.create_task(self._say_all())

    async def _say_all(self) -> None:
        await self._push(np.zeros(RATE_HZ, np.float32))
        for scenario in self._plan:
            self._context.set_messages([])
            [cue] = scenario.cues
            self._ear.heard_s = None
            began = time.perf_counter()
            await self._push(cue.samples)
            end_s = began + cue.end_s
            while not self._is_over(began + len(cue.samples) / RATE_HZ):
                await self._push(np.zeros(_FRAME, np.float32))
            heard_s = self._ear.heard_s
            self.latencies.append((scenario.language, heard_s and heard_s - end_s))
            print(scenario.name, self.latencies[-1][1], file=sys.stderr, flush=True)
        self.is_done.set()

    def _is_over(self, said_s: float) -> bool:
        now = time.perf_counter()
        if self._ear.heard_s is None:
            return now - said_s > _PATIENCE_S
        return now - self._ear.last_s > _QUIET_S

    async def _push(self, samples: Any) -> None:
        data = (np.clip(samples, -1, 1) * 32767).astype("<i2")
        began = time.perf_counter()
        for start in range(0, len(data), _FRAME):
            await asyncio.sleep(max(0.0, began + start / RATE_HZ - time.perf_counter()))
            await self.push_audio_frame(
                InputAudioRawFrame(
                    audio=data[start : start + _FRAME].tobytes(),
                    sample_rate=RATE_HZ,
                    num_channels=1,
                )
            )
        await asyncio.sleep(max(0.0, began + len(data) / RATE_HZ - time.perf_counter()))


async def run(args: argparse.Namespace) -> list[tuple[str, float | None]]:
    plan = [one for language in args.languages for one in sentences(args, language)]
    context = LLMContext()
    user_params = LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer(sample_rate=RATE_HZ))
    pair = LLMContextAggregatorPair(context, user_params=user_params)
    ear = Ear(TransportParams(audio_out_enabled=True, audio_out_sample_rate=24_000))
    params = TransportParams(audio_in_enabled=True, audio_in_sample_rate=RATE_HZ)
    mouth = Mouth(params, [plan[0], *plan], ear, context)  # the first of all warms up
    whisper = WhisperSTTService(
        settings=WhisperSTTService.Settings(model=str(fetch("whisper-base")), language=None)
    )
    llm = OpenAILLMService(
        api_key="none",
        base_url=serve_mind(),
        settings=OpenAILLMService.Settings(model="m", system_instruction=SYSTEM),
    )
    parts = [mouth, whisper, pair.user(), llm, Kokoro(args.speaker), ear, pair.assistant()]
    worker = PipelineWorker(
        Pipeline(parts),
        params=PipelineParams(audio_in_sample_rate=RATE_HZ, audio_out_sample_rate=24_000),
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await mouth.is_done.wait()
    await worker.queue_frame(EndFrame())
    await running
    return mouth.latencies[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--languages", nargs="+", default=["zh", "en"], choices=sorted(SETS))
    parser.add_argument("--num", type=int, default=10, help="sentences a language")
    parser.add_argument("--speaker", default="kokoro-82m")
    args = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    found = asyncio.run(run(args))
    rows = []
    for name in [*args.languages, "all"]:
        group = [seconds for language, seconds in found if name in (language, "all")]
        heard = [seconds for seconds in group if seconds is not None]
        spread = percentiles(heard)
        numbers = [f"{spread[key]:.2f}" if heard else "-" for key in ("median", "p95", "max")]
        rows.append([name, len(group), len(heard), *numbers])
    header = ["pipecat", "sentences", "answered", "median, s", "95 %, s", "most, s"]
    table(header, rows)


if __name__ == "__main__":
    main()
