#!/bin/sh
# Which stride of the adapter? 60 steps of the alignment with each, then greedy CTC on synth/dev.
# Needs the frames of step 3 of make.sh, and its PYTHON. Prints the error rates of each, and draws
# the losses.
set -eu
cd "$(dirname "$0")/../.."
mooer="${MOOER:-./run.sh}"
python="${PYTHON:-.venv/bin/python}"
for stride in 4 6 8; do
    run="runs/mini/stride-$stride"
    mkdir -p "$run"
    sed -e "s/stride: 4/stride: $stride/" -e "s/steps: 780/steps: 60/" \
        -e "s/warmup_steps: 60/warmup_steps: 15/" -e "s/every_steps: 100/every_steps: 60/" \
        recipes/mini/align.yaml > "$run.yaml"
    "$mooer" train "$run.yaml" --out "$run" --resume >&2
    echo "$((stride * 20)) ms: $(grep validation "$run/metrics.jsonl" | tail -n 2 | tr "\n" " ")"
done
"$python" recipes/mini/curves.py runs/mini/stride-4 runs/mini/stride-6 runs/mini/stride-8 \
    --out runs/mini/strides.png
