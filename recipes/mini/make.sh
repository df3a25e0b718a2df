#!/bin/sh
# mooer-mini from texts to a folder for `mooer transcribe --model`. SHARED is a folder with text/
# (sentence pairs and sentences), synth/ (speech that is there already) and data/ (recordings held
# out). Every step goes on where it was interrupted: run it again. PYTHON is one in whose
# environment `pip install '.[train,speak]'` was run. TRAIN may hold settings of the three trainings:
# "--parallel.precision bf16 --model.llm.dtype bfloat16" where the processor has bfloat16 units.
set -eu
cd "$(dirname "$0")/../.."
: "${SHARED:?the folder with text/, synth/ and data/}"
run=runs/mini
mooer="${MOOER:-./run.sh}"
python="${PYTHON:-.venv/bin/python}"
"$python" -c "import torch, pypinyin" || {
    echo "make.sh: $python lacks packages: run pip install '.[train,speak]' in its environment" >&2
    exit 1
}

# 1. What is spoken.
"$python" recipes/mini/texts.py --pairs "$SHARED/text/tatoeba_train.jsonl" \
    --english "$SHARED/text/ljspeech_sentences.txt" --spoken "$SHARED/synth/train.jsonl" \
    --held-out "$SHARED/data/ljspeech.jsonl" --out $run/texts.jsonl

# 2. Synthetic speech beside what is there: news and talk by blends of Kokoro's native Mandarin
# voices; the English of pairs and single English sentences by Piper's voice, which costs least; and
# with HOURS more of the Mandarin.
speak() { # TEXTS OUT OPTION...
    texts="$1" out="$2"
    shift 2
    "$mooer" data synth "$texts" --out "$out" --speed 0.8-1.3 --format opus --workers 2 "$@"
}
grep '"id": "en-' $run/texts.jsonl > $run/pairs.jsonl
grep '"id": "lj-' $run/texts.jsonl > $run/single.jsonl
speak recipes/mini/talk.jsonl $run/speech-talk --voices 300 --languages zh
speak recipes/mini/pairs.jsonl $run/speech-news --voices 300 --languages zh --hours 2.3
speak $run/pairs.jsonl $run/speech-pairs --speaker piper-joe --languages en --hours 2.3
speak $run/single.jsonl $run/speech-single --speaker piper-joe --languages en --hours 7.4
mandarin="$run/speech-talk/manifest.jsonl $run/speech-news/manifest.jsonl"
others="$SHARED/synth/train.jsonl $run/speech-pairs/manifest.jsonl $run/speech-single/manifest.jsonl"
if [ "${HOURS:-0}" != 0 ]; then
    speak $run/texts.jsonl $run/speech --voices 300 --languages zh --hours "$HOURS"
    mandarin="$mandarin $run/speech/manifest.jsonl"
fi

# 3. What the frozen encoder hears of it: with another speed, noise and room, and the Mandarin of
# native voices, of which there is least, clean too.
"$mooer" data encode $mandarin --out $run/frames --variants 2
"$mooer" data encode $others --out $run/frames --variants 2 --no-clean
"$mooer" data encode "$SHARED/synth/dev.jsonl" --out $run/frames-dev
"$mooer" data encode "$SHARED/data/aishell.jsonl" "$SHARED/data/magicdata_cs.jsonl" \
    "$SHARED/data/timit_sample.jsonl" "$SHARED/data/speechocean762.jsonl" --out $run/frames-real
for frames in $run/frames-dev $run/frames-real; do
    for language in zh en; do
        grep "\"language\": \"$language\"" $frames/manifest.jsonl > $frames/$language.jsonl
    done
done

# 4. Drafts by Whisper's own decoder, of all the Mandarin by native voices and of a third of the rest.
"$python" recipes/mini/drafts.py $mandarin --out $run/drafts.jsonl
"$python" recipes/mini/drafts.py $others --every 3 --out $run/drafts.jsonl
"$python" - $run/silence.wav <<'END'
import sys, wave

with wave.open(sys.argv[1], "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    file.writeframes(bytes(12800))  # 0.4 s
END
echo '{"id": "silence", "audio": "silence.wav", "duration": 0.4, "text": ""}' > $run/silence.jsonl
"$mooer" data encode $run/silence.jsonl --out $run/silence
"$python" recipes/mini/tasks.py --frames $run/frames/manifest.jsonl --drafts $run/drafts.jsonl \
    --pairs recipes/mini/pairs.jsonl recipes/mini/talk.jsonl recipes/mini/orders.jsonl \
    "$SHARED/text/tatoeba_train.jsonl" \
    --silence $run/silence/manifest.jsonl --out $run/tasks

# 5. The adapter learns to spell, then LoRA to answer, then to translate what was misheard.
"$mooer" train recipes/mini/align.yaml --out $run/align --resume ${TRAIN:-}
"$mooer" train recipes/mini/tune.yaml --out $run/tune --resume ${TRAIN:-}
"$mooer" train recipes/mini.yaml --out $run/translate --resume ${TRAIN:-}

# 6. A folder that runs without torch.
"$mooer" models export $run/translate/average --to native --out $run/mini
