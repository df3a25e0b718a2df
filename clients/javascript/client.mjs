// A client of `mooer serve`: sends a recording and prints its text, or streams a WAV and prints what
// is said while it is said. Node 18 or newer, no packages.
//
//   node client.mjs transcribe talk.mp3 --format srt
//   node client.mjs captions talk.wav --language zh

import { once } from "node:events";
import { open, stat } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { basename } from "node:path";
import { pipeline, Readable } from "node:stream";
import { parseArgs } from "node:util";

const USAGE = `usage: node client.mjs transcribe FILE [--url URL] [--key KEY] [--language LANGUAGE] [--format json|text|srt]
       node client.mjs captions FILE.wav [--url URL] [--key KEY] [--language LANGUAGE] [--fast]`;
const GONE = "the server went away before the end: its log may say why";

class Usage extends Error {}
class Failure extends Error {}  // one sentence

function readOptions() {
  try {
    const text = (usual) => ({ type: "string", default: usual });
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        url: text("http://127.0.0.1:8000"), key: text(process.env.MOOER_API_KEY ?? ""),
        language: text(""), format: text("text"), fast: { type: "boolean" },
      },
    });
    const [command, file, ...more] = positionals;
    if (!["transcribe", "captions"].includes(command) || !file || more.length) throw new Usage();
    if (!["json", "text", "srt"].includes(values.format)) throw new Usage();
    return { ...values, command, file };
  } catch {
    throw new Usage();
  }
}

const { WebSocket } = globalThis.WebSocket ? globalThis : await import("./websocket.mjs");

// The server: where it is, and how it is asked.
class Server {
  constructor({ url, key }) {
    if (!/^[!-~]*$/.test(key)) throw new Failure("a key has only visible ASCII letters: look at --key and MOOER_API_KEY");
    this.url = url;
    this.key = key;
    this.root = url.replace(/\/+$/, "").replace(/\/v1$/, "").replace(/\/+$/, "");
    if (!/^https?:\/\/[^/\s]+/.test(this.root)) throw new Failure(`${url} is no address of a server: write http://HOST:PORT`);
  }

  // The body of an answer; a Failure with the server's sentence for any status but 200. Not by
  // `fetch`, which gives up after five minutes: an hour of sound may take longer.
  async ask(path, form) {
    const body = form && new Response(form);  // which knows how a form is written
    const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    if (form) headers["Content-Type"] = body.headers.get("content-type");
    if (form) headers.Expect = "100-continue";  // who is refused need not send a recording for nothing
    const { request } = this.root.startsWith("https") ? https : http;
    const sent = request(this.root + path, { method: form ? "POST" : "GET", headers });
    let isConnected = false, text = "";
    sent.on("socket", (socket) => socket.once("connect", () => { isConnected = true; }));
    const answered = once(sent, "response");
    const send = () => body.bodyUsed || pipeline(Readable.fromWeb(body.body), sent, () => {});  // what breaks is told below
    const late = form && setTimeout(send, 1000);  // to a proxy that does not say go on
    if (form) sent.once("continue", send).flushHeaders();
    else sent.end();
    let answer;
    try {
      [answer] = await answered;
      clearTimeout(late);
      for await (const part of answer.setEncoding("utf8")) text += part;
    } catch {
      if (isConnected) throw new Failure(GONE);
      throw new Failure(`no server answers at ${this.url}: start one with \`mooer serve\`, or name another with --url`);
    } finally {
      clearTimeout(late);
      sent.destroy();  // it may have been answered before all was sent
    }
    if (answer.statusCode === 200) return text;
    let reason = "the server refused, without a reason";
    try { reason = JSON.parse(text).error.message; } catch { /* not by our server, but a proxy before it */ }
    const more = answer.statusCode === 401 ? " (--key or MOOER_API_KEY gives one)" : "";
    throw new Failure(`${answer.statusCode}: ${reason}${more}`);
  }

  // A stream; the key goes as a subprotocol, for the standard knows no headers here.
  open(path) {
    const protocols = ["mooer-captions", ...(this.key ? [`openai-insecure-api-key.${this.key}`] : [])];
    try {
      return new WebSocket(this.root.replace(/^http/, "ws") + path, protocols);
    } catch {
      throw new Failure("this key cannot be sent by a WebSocket: it has letters beside A-Z a-z 0-9 and !#$%&'*+-.^_`|~");
    }
  }
}

async function check(path) {
  const reasons = { ENOENT: "there is no such file", EACCES: "it may not be read" };
  const fail = (reason) => { throw new Failure(`cannot read ${path}: ${reason}`); };
  const found = await stat(path).catch((error) => fail(reasons[error.code] ?? error.code));
  if (found.isDirectory()) fail("it is a folder");
  return open(path).catch((error) => fail(reasons[error.code] ?? error.code));
}

// --- a file to text

async function transcribe(options, server) {
  const file = await check(options.file);
  const form = new FormData();
  form.set("model", "whisper-1");
  form.set("response_format", options.format);
  if (options.language) form.set("language", options.language);
  form.set("file", new Blob([await file.readFile()]), basename(options.file));
  await file.close();
  const text = await server.ask("/v1/audio/transcriptions", form);
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

// --- a WAV as a stream

// Samples of a WAV of 16-bit samples, a tenth of a second at a time.
class Wav {
  static async open(path) {
    const wav = Object.assign(new Wav(), { file: await check(path), at: 0, numBytes: -1 });
    let head = await wav.take(12), isPcm16 = false;
    const isWav = head.length === 12 && name(head) === "RIFF" && name(head, 8) === "WAVE";
    while (isWav && (head = await wav.take(8)).length === 8) {
      const size = head.readUInt32LE(4), next = wav.at + size + (size % 2);
      if (name(head) === "data") {  // without a size where a pipe wrote it: to the end
        wav.numBytes = size === 0 || size >= 0xffffff00 ? Infinity : size;
        break;
      }
      const format = await wav.take(name(head) === "fmt " ? Math.min(size, 40) : 0);
      if (format.length >= 16) {
        const code = format.readUInt16LE(0);
        const isPcm = code === 1 || (code === 0xfffe && format.length >= 26 && format.readUInt16LE(24) === 1);
        isPcm16 = isPcm && format.readUInt16LE(14) === 16;
        wav.channels = format.readUInt16LE(2);
        wav.rateHz = format.readUInt32LE(4);
      }
      wav.at = next;
    }
    if (isPcm16 && wav.numBytes > 0 && wav.rateHz > 0 && wav.channels > 0) return wav;
    throw new Failure(`${path} is no WAV of 16-bit samples: \`ffmpeg -i ${path} -ar 16000 -ac 1 speech.wav\` makes one`);
  }

  async take(num) {
    const { bytesRead, buffer } = await this.file.read(Buffer.alloc(num), 0, num, this.at);
    this.at += bytesRead;
    return buffer.subarray(0, bytesRead);
  }

  async *blocks() {
    for (;;) {
      const block = await this.take(Math.min(Math.floor(this.rateHz / 10) * 2 * this.channels, this.numBytes));
      this.numBytes -= block.length;
      if (!block.length) return;
      yield block;
    }
  }
}

const name = (bytes, at = 0) => bytes.toString("latin1", at, at + 4);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function sendSound(socket, wav, isFast) {
  const began = performance.now();
  let num = 0;
  for await (const block of wav.blocks()) {
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(block);
    const left = began + 100 * ++num - performance.now();
    if (!isFast && left > 0) await sleep(left);
    while (socket.readyState === WebSocket.OPEN && socket.bufferedAmount > 1 << 20) await sleep(20);
  }
  if (socket.readyState === WebSocket.OPEN) socket.send('{"type": "end"}');
}

// On a terminal the words of the open sentence in place; sentences, each on its line, anywhere.
class Screen {
  words = [];  // final, and of no sentence yet
  partial(text) { this.show(this.open() + text); }
  final(words) { this.words.push(...words); this.show(this.open()); }
  said(segment) {
    this.show("");
    process.stdout.write(`${segment.text}\n`);
    this.words = this.words.filter((word) => word.start_s >= segment.end_s);
  }
  open() { return this.words.map((word) => word.text).join(""); }
  show(text) { if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${text}`); }
}

async function captions(options, server) {
  const wav = await Wav.open(options.file);
  const screen = new Screen();
  const socket = server.open("/v1/captions");
  let isOpen = false, isDone = false, error = "";
  const closed = new Promise((resolve) => {
    socket.onclose = resolve;
    socket.onerror = () => isOpen || resolve({});  // Node 20 tells no close of what never opened
  });
  socket.onopen = () => {
    isOpen = true;
    const language = options.language ? { language: options.language } : {};
    socket.send(JSON.stringify({ type: "start", rate_hz: wav.rateHz, channels: wav.channels, ...language }));
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    switch (message.type) {
      case "ready":
        sendSound(socket, wav, options.fast).catch((problem) => { error = problem.message; socket.close(); });
        break;
      case "partial": screen.partial(message.text); break;
      case "final": screen.final(message.words); break;
      case "said": screen.said(message.segment); break;
      case "warning": console.error(`warning: ${message.message}`); break;
      case "error": error = message.error.message; break;
      case "done": isDone = true; break;
    }
  };
  const { code, reason } = await closed;
  screen.show("");
  if (isDone) return;
  if (!isOpen) {
    await server.ask("/v1/models");  // why it refused is told over HTTP alone
    throw new Failure(`the server opens no stream at ${options.url}: a proxy may be in its way`);
  }
  throw new Failure(error || reason ? `${code}: ${error || reason}` : GONE);
}

try {
  const options = readOptions();
  await { transcribe, captions }[options.command](options, new Server(options));
  process.exitCode = 0;
} catch (error) {
  console.error(error instanceof Usage ? USAGE : `error: ${error.message}`);
  process.exitCode = error instanceof Usage ? 2 : 1;
}
