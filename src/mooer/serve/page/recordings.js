// A recording to the HTTP endpoints: segments as they are heard, or all of them at the end.

export class ApiError extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export function headersOf(key) { return key ? { authorization: `Bearer ${key}` } : {}; }

export async function models(key) {
  const answer = await fetch("/v1/models", { headers: headersOf(key) });
  if (!answer.ok) throw await errorOf(answer);
  return (await answer.json()).data;
}

// `options`: model, language, to, labels, speakers, itn. `onSegment` is given segments of the house.
export async function transcribe(file, key, options, signal, onSegment) {
  const form = new FormData();
  form.append("model", options.model);
  form.append("response_format", "verbose_json");
  form.append("timestamp_granularities[]", "segment");
  form.append("stream", "true");
  if (options.language) form.append("language", options.language);
  if (options.to) form.append("to", options.to);
  else form.append("timestamp_granularities[]", "word");
  for (const name of options.labels ? ["rich", "gender", "age"] : []) form.append(name, "true");
  if (options.speakers && !options.to) form.append("speakers", "auto");
  if (options.itn) form.append("itn", "true");
  form.append("file", file, file.name);  // last: the fields before it are known when it comes
  const path = options.to ? "/v1/audio/translations" : "/v1/audio/transcriptions";
  const answer = await fetch(path, { method: "POST", body: form, headers: headersOf(key), signal });
  if (!answer.ok) throw await errorOf(answer);
  let last = null;
  for await (const event of events(answer.body)) {
    if (event.error) throw new ApiError(500, event.error.message);
    if (event.type === "transcript.text.segment") onSegment(segmentOf(event));
    if (event.type === "transcript.text.done") last = event;
  }
  if (!last) throw new ApiError(0, "");
  return last;
}

async function errorOf(answer) {
  let message = `${answer.status} ${answer.statusText}`;
  try { message = (await answer.json()).error.message; } catch { /* it is not ours */ }
  return new ApiError(answer.status, message);
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const line = part.split("\n").find((one) => one.startsWith("data:"));
      const data = line?.slice(5).trim();
      if (data && data !== "[DONE]") yield JSON.parse(data);
    }
  }
}

// The names of the house's transcripts instead of OpenAI's.
function segmentOf(one) {
  const isTranslated = one.original !== undefined;
  const segment = {
    start_s: one.start, end_s: one.end, language: one.language ?? "und",
    text: isTranslated ? one.original : one.text,
  };
  if (isTranslated) segment.translation = one.text;
  if (one.words?.length) {
    segment.words = one.words.map((word) => ({
      start_s: word.start, end_s: word.end, text: word.word, probability: word.probability,
    }));
  }
  for (const name of ["speaker", "emotion", "gender", "age"]) if (one[name]) segment[name] = one[name];
  if (one.events) {
    segment.events = one.events.map((event) => ({
      start_s: event.start, end_s: event.end, name: event.name, probability: event.probability,
    }));
  }
  return segment;
}
