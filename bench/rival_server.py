"""The usual small server: Starlette and faster-whisper, one call a request, no batches.

    pip install faster-whisper
    python bench/rival_server.py FOLDER --port 8001

FOLDER is the same CTranslate2 model that `mooer serve` has, int8, with the same number of threads:
what `bench/serve.py load` measures against.
"""

from __future__ import annotations

import argparse
import io

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="faster-whisper's num_workers")
    parser.add_argument("--beam", type=int, default=5)
    args = parser.parse_args()
    from faster_whisper import WhisperModel

    model = WhisperModel(
        args.folder,
        device="cpu",
        compute_type="int8",
        cpu_threads=args.threads,
        num_workers=args.workers,
    )

    def hear(data: bytes) -> str:
        segments, _ = model.transcribe(io.BytesIO(data), beam_size=args.beam, vad_filter=True)
        return "".join(segment.text for segment in segments).strip()

    async def transcribe(request: Request) -> Response:
        async with request.form() as form:
            data = await form["file"].read()
        return JSONResponse({"text": await run_in_threadpool(hear, data)})

    routes = [Route("/v1/audio/transcriptions", transcribe, methods=["POST"])]
    uvicorn.run(Starlette(routes=routes), port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
