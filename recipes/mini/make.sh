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

# 2. Synthetic speech beside what is there: news and talk, and the English of pairs, by blends of
# Kokoro's voices; single English sentences by Piper's voice; and with HOURS more of the Mandarin.
speak() { # TEXTS OUT OPTION...
    texts="$1" out="$2"
    shift 2
    "$mooer" data synth "$texts" --out "$out" --speed 0.8-1.3 --format opus --workers 2 "$@"
    spoken="$spoken $out/manifest.jsonl"
}
spoken="$SHARED/synth/train.jsonl"
grep '"id": "en-' $run/texts.jsonl > $run/pairs.jsonl
grep '"id": "lj-' $run/texts.jsonl > $run/single.jsonl
speak recipes/mini/pairs.jsonl $run/speech-news --voices 300 --languages zh
speak recipes/mini/talk.jsonl $run/speech-talk --voices 300 --languages zh
speak $run/pairs.jsonl $run/speech-pairs --voices 300 --languages en --hours 2.8
speak $run/single.jsonl $run/speech-single --speaker piper-joe --languages en --hours 6
if [ "${HOURS:-0}" != 0 ]; then
    speak $run/texts.jsonl $run/speech --voices 300 --languages zh --hours "$HOURS"
fi

# 3. What the frozen encoder hears of it: all with another speed, noise and room, a part clean too.
"$mooer" data encode "$SHARED/synth/train.jsonl" --out $run/frames
"$mooer" data encode $spoken --out $run/frames --variants 2 --no-clean
"$mooer" data encode "$SHARED/synth/dev.jsonl" --out $run/frames-dev
for language in zh en; do
    grep "\"language\": \"$language\"" $run/frames-dev/manifest.jsonl > $run/frames-dev/$language.jsonl
done

# 4. Drafts by Whisper's own decoder, of all news and talk, and of a third of the whole.
"$python" recipes/mini/drafts.py $run/speech-news/manifest.jsonl $run/speech-talk/manifest.jsonl \
    --out $run/drafts.jsonl
"$python" recipes/mini/drafts.py $spoken --every 3 --out $run/drafts.jsonl
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
