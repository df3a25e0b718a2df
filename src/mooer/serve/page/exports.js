// Segments as files: txt, srt, vtt, and the house's JSON (docs/transcript.md).

const MAX_CUE_S = 7;
const MAX_CUE_WIDTH = 84;  // two lines of 42 letters; a Chinese character is as wide as 2.6

export function render(format, segments, about) {
  const said = segments.filter((segment) => segment.text);
  if (format === "json") return json(segments, about);
  if (format === "txt") return said.map((segment) => lines(segment, segment.text).join("\n") + "\n").join("");
  const cues = said.flatMap(cuesOf);
  const mark = format === "vtt" ? "." : ",";
  const body = cues.map((cue, i) => {
    const number = format === "srt" ? `${i + 1}\n` : "";
    const text = cue.lines.map((line) => (format === "vtt" ? escaped(line) : line)).join("\n");
    return `${number}${stamp(cue.start_s, mark)} --> ${stamp(cue.end_s, mark)}\n${text}\n`;
  });
  return (format === "vtt" ? "WEBVTT\n\n" : "") + body.join("\n");
}

// In WebVTT "<" begins a tag, and "-->" would end the text.
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

export function stamp(seconds, mark) {
  const ms = Math.max(0, Math.round(seconds * 1000));
  const parts = [Math.floor(ms / 3600000), Math.floor(ms / 60000) % 60, Math.floor(ms / 1000) % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":") + mark + String(ms % 1000).padStart(3, "0");
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60, s = whole % 60;
  return (h ? `${h}:${String(m).padStart(2, "0")}` : String(m)) + ":" + String(s).padStart(2, "0");
}

// The places of words in their segment's text, so that they can be shown as it is written. Words
// that are written anew ("twenty five" as 25) are one place together; null where nothing is found.
export function placed(segment) {
  const { text } = segment;
  const found = [];
  let at = 0, missing = [];
  const close = (begin) => {
    const gap = text.slice(at, begin);
    const from = at + gap.search(/[\p{L}\p{N}]/u);
    if (missing.length && from >= at) {
      found.push({ ...missing[0], end_s: missing.at(-1).end_s, begin: from, end: from + gap.slice(from - at).trimEnd().length });
    }
    missing = [];
  };
  for (const word of segment.words ?? []) {
    const said = word.text.trim();
    const reach = missing.reduce((sum, one) => sum + one.text.length + 4, 0);
    const begin = said ? find(text, said, at, reach) : -1;
    if (begin < 0) { if (said) missing.push(word); continue; }
    close(begin);
    at = begin + said.length;
    found.push({ ...word, begin, end: at });
  }
  if (found.length) close(text.length);
  return found.length ? found : null;
}

// Where a word stands next: behind marks alone, or where others are missing behind what took their place.
function find(text, word, from, reach) {
  for (let begin = text.indexOf(word, from); begin >= 0; begin = text.indexOf(word, begin + 1)) {
    const letters = text.slice(from, begin).replace(/[^\p{L}\p{N}]/gu, "").length;
    if (letters > reach) return -1;
    if (isWhole(text, begin, begin + word.length)) return begin;
  }
  return -1;
}

// Whether a stretch cuts no word of an alphabet, and no number, in two.
function isWhole(text, begin, end) {
  const cuts = (at) => /^[A-Za-z0-9\u00c0-\u024f]{2}$/.test(text.slice(at - 1, at + 1));
  return !(begin > 0 && cuts(begin)) && !cuts(end);
}

// Whether there is a translation to be shown beside the text.
export function foreign(segment) { return Boolean(segment.translation) && segment.translation !== segment.text; }

function lines(segment, text) {
  const speaker = segment.speaker ? `${segment.speaker}: ` : "";
  return foreign(segment) ? [speaker + text, segment.translation] : [speaker + text];
}

// A long segment becomes several cues, cut between words; with a translation it stays whole.
function cuesOf(segment) {
  const words = foreign(segment) ? null : placed(segment);
  const isShort = width(segment.text) <= MAX_CUE_WIDTH && segment.end_s - segment.start_s <= MAX_CUE_S;
  if (!words || isShort) return [{ start_s: segment.start_s, end_s: segment.end_s, lines: lines(segment, segment.text) }];
  const cues = [];
  let first = 0;
  for (let i = 1; i <= words.length; i++) {
    const end = i === words.length ? segment.text.length : words[i].begin;
    const text = segment.text.slice(words[first].begin, i === words.length ? end : words[i].end);
    const isFull = i < words.length && (width(text) > MAX_CUE_WIDTH || words[i].end_s - words[first].start_s > MAX_CUE_S);
    if (!isFull && i < words.length) continue;
    const cue = segment.text.slice(words[first].begin, end).trim();
    cues.push({ start_s: words[first].start_s, end_s: words[i - 1].end_s, lines: lines(segment, cue) });
    first = i;
  }
  return cues;
}

function width(text) {
  let sum = 0;
  for (const letter of text) sum += /[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]/.test(letter) ? 2.6 : 1;
  return sum;
}

function json(segments, about) {
  const languages = segments.filter((one) => one.text).map((one) => one.language);
  const counts = new Map();
  for (const one of languages) counts.set(one, (counts.get(one) ?? 0) + 1);
  const language = [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "und";
  const last = segments.length ? segments[segments.length - 1].end_s : 0;
  const found = {
    schema: "mooer.transcript/2", segments, language, duration_s: about.duration_s ?? last,
    task: about.to ? "ast" : "asr", model: about.model ?? "", source: about.source ?? "",
  };
  if (about.to) found.translation_language = about.to;
  return JSON.stringify(found, null, 2) + "\n";
}

export function download(name, data, type) {
  const address = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// Whether a text could be put onto the clipboard: over plain http a browser knows only the old way.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.body.appendChild(document.createElement("textarea"));
    field.value = text;
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    return isDone;
  }
}

// 16-bit samples as a wav file.
export function wav(blocks, rate) {
  const size = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  const head = new DataView(new ArrayBuffer(44));
  const put = (at, text) => [...text].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  put(0, "RIFF"); head.setUint32(4, 36 + size, true); put(8, "WAVEfmt ");
  head.setUint32(16, 16, true); head.setUint16(20, 1, true); head.setUint16(22, 1, true);
  head.setUint32(24, rate, true); head.setUint32(28, rate * 2, true);
  head.setUint16(32, 2, true); head.setUint16(34, 16, true);
  put(36, "data"); head.setUint32(40, size, true);
  return new Blob([head, ...blocks], { type: "audio/wav" });
}
