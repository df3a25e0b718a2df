// A recording to the HTTP endpoints: segments as they are heard, or all of them at the end.

export class ApiError extends Error {
  constructor(status, message = "", code = "") { super(message); this.status = status; this.code = code; }
}

export async function models(key) {
  let answer;
  try {
    answer = await fetch("/v1/models", { headers: key ? { authorization: `Bearer ${key}` } : {} });
  } catch { throw new ApiError(0); }
  if (!answer.ok) throw errorOf(answer.status, await answer.text());
  return (await answer.json()).data;
}

// `options`: model, language, to, labels, speakers, itn. `on.sent` is told what share of the file
// has gone, `on.segment` is given segments of the house. Models that know no times of words are
// asked once more without them.
export async function transcribe(file, key, options, signal, on) {
  try {
    return await post(file, key, options, signal, on, true);
  } catch (error) {
    if (error.code !== "no_word_times") throw error;
    return post(file, key, options, signal, on, false);
  }
}

function formOf(file, options, withWords) {
  const form = new FormData();
  form.append("model", options.model);
  form.append("response_format", "verbose_json");
  form.append("timestamp_granularities[]", "segment");
  if (withWords) form.append("timestamp_granularities[]", "word");
  form.append("stream", "true");
  if (options.language) form.append("language", options.language);
  if (options.to) form.append("to", options.to);
  for (const name of options.labels ? ["rich", "gender", "age"] : []) form.append(name, "true");
  if (options.speakers) form.append("speakers", "auto");
  if (options.itn) form.append("itn", "true");
  form.append("file", file, file.name);  // last: the fields before it are known when it comes
  return form;
}

// Not fetch: that does not tell how much of a file has gone.
function post(file, key, options, signal, on, withWords) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const events = new Events();
    let done = null;
    const take = () => {
      if (request.status !== 200) return;
      for (const event of events.take(request.responseText)) {
        if (event.error) { reject(errorOf(500, JSON.stringify(event))); request.abort(); return; }
        if (event.type === "transcript.text.segment") on.segment(segmentOf(event));
        if (event.type === "transcript.text.done") done = event;
      }
    };
    request.open("POST", options.to ? "/v1/audio/translations" : "/v1/audio/transcriptions");
    if (key) request.setRequestHeader("authorization", `Bearer ${key}`);
    request.upload.onprogress = (event) => on.sent(event.loaded / event.total);
    request.upload.onload = () => on.sent(1);
    request.onprogress = take;
    request.onload = () => {
      take();
      if (request.status !== 200) reject(errorOf(request.status, request.responseText));
      else if (done) resolve(done);
      else reject(new ApiError(0));
    };
    request.onerror = () => reject(new ApiError(0));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(formOf(file, options, withWords));
  });
}

function errorOf(status, text) {
  try {
    const { message, code } = JSON.parse(text).error;
    return new ApiError(status, message, code);
  } catch { return new ApiError(status, `${status} ${text.slice(0, 200)}`); }  // not from our server
}

// Server-sent events out of a text that grows.
class Events {
  constructor() { this.at = 0; }

  *take(text) {
    for (;;) {
      const end = text.indexOf("\n\n", this.at);
      if (end < 0) return;
      const line = text.slice(this.at, end).split("\n").find((one) => one.startsWith("data:"));
      this.at = end + 2;
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
