#!/bin/sh
# rich-mini from recordings to a folder. SHARED is a folder with data/ (labelled recordings), synth/
# (synthetic speech) and text/ (sentences). Every step goes on where it was interrupted: run it
# again. PYTHON is one in whose environment `pip install '.[train,speak]'` was run.
set -eu
cd "$(dirname "$0")/../.."
: "${SHARED:?the folder with data/, synth/ and text/}"
run=runs/rich
mooer="${MOOER:-./run.sh}"
python="${PYTHON:-.venv/bin/python}"
mkdir -p $run

# 1. What the frozen encoder hears of synthetic speech, clean and changed, and when its words are.
"$mooer" data encode "$SHARED/synth/train.jsonl" --out runs/mini/frames --variants 2
"$mooer" data encode "$SHARED/synth/dev.jsonl" --out runs/mini/frames-dev
for language in zh en; do
    grep "\"language\": \"$language\"" runs/mini/frames-dev/manifest.jsonl \
        > runs/mini/frames-dev/$language.jsonl
done
[ -e $run/times.jsonl ] ||
    "$python" recipes/rich/times.py "$SHARED/synth/train.jsonl" --out $run/times.jsonl
"$python" recipes/rich/spoken.py --frames runs/mini/frames/manifest.jsonl \
    --times $run/times.jsonl --out $run/spoken.jsonl

# 2. The speller.
"$mooer" train recipes/rich-mini.yaml --out $run/speller --resume

# 3. Clips with labels.
[ -e $run/clips/clips.jsonl ] ||
    "$python" recipes/rich/clips.py --data "$SHARED/data" --synth "$SHARED/synth" --out $run/clips

# 4. A labeller for each fold, whose speakers and sources it does not hear, and one of everything.
"$python" recipes/rich/labels.py --clips $run/clips/clips.jsonl --out $run/labels

# 5. What ships: everything that runs without torch.
mkdir -p $run/rich-mini/speller $run/rich-mini/labeller
cp $run/speller/last/rich.yaml $run/speller/last/speller.safetensors $run/speller/last/units.txt \
    $run/rich-mini/speller/
cp $run/labels/all/* $run/rich-mini/labeller/
