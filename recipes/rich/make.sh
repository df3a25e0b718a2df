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

# 3. Clips with labels, and what the first layers of the encoder hear of them.
[ -e $run/clips/clips.jsonl ] ||
    "$python" recipes/rich/clips.py --data "$SHARED/data" --synth "$SHARED/synth" --out $run/clips
"$mooer" data encode $run/clips/clips.jsonl --layers 4 --variants 2 --out $run/label-frames
"$python" recipes/rich/folds.py --frames $run/label-frames/manifest.jsonl --out $run/folds

# 4. A labeller for each fold, whose speakers and sources it does not hear, and one of everything.
for fold in 0 1 2 3 4 5; do
    "$mooer" train recipes/rich/labels.yaml --out $run/folds/$fold/run --resume \
        --data.train.0.manifest $run/folds/$fold/train.jsonl
done
"$mooer" train recipes/rich/labels.yaml --out $run/labeller --resume

# 5. What ships: everything that runs without torch.
for part in speller labeller; do
    mkdir -p $run/rich-mini/$part
    cp $run/$part/last/rich.yaml $run/$part/last/$part.safetensors $run/rich-mini/$part/
done
cp $run/speller/last/units.txt $run/rich-mini/speller/
