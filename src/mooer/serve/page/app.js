// The page: a file or the microphone in, the transcript out. Each module beside this one does one thing.

import { Captions } from "./captions.js";
import { clock, download, render, wav } from "./exports.js";
import { canRecord, Microphone, MicrophoneError } from "./microphone.js";
import { Player } from "./player.js";
import { ApiError, models, transcribe } from "./recordings.js";
import { INTO, language, nameOf, say, speak, SPOKEN } from "./strings.js";
import { Transcript } from "./transcript.js";

const MAX_KEPT_S = 3600;  // of the microphone, to be played again
const KEPT = ["model", "language", "to", "labels", "speakers", "itn"];
const at = (id) => document.getElementById(id);

const transcript = new Transcript(at("transcript"), at("open"), (time) => player.seek(time));
const player = new Player(at("waveform"), at("audio"), (time) => transcript.show(time));

let about = {};  // of the transcript on the page
let running = null;  // what is under way: {stop()}
let saved = null;  // a wav of what was said

// --- what is shown -------------------------------------------------------------------------------

let told = null;  // so that it can be told again in the other language

function tell(key, values) { told = [key, values]; at("status").textContent = key ? say(key, values) : ""; }

function complain(text) {
  at("problem").textContent = text ?? "";
  at("problem").hidden = !text;
}

function begin(source) {
  complain("");
  transcript.clear();
  player.clear();
  saved = null;
  about = { source, model: at("model").value, to: at("to").value || undefined };
  at("listening").hidden = false;
  update();
}

function update() {
  at("empty").hidden = transcript.segments.length > 0 || running !== null;
  at("exports").hidden = transcript.segments.length === 0;
  at("save-sound").hidden = saved === null;
  at("stop").hidden = running === null || running.isTalk;
  at("choose").disabled = running !== null;
  at("talk").disabled = running !== null && !running.isTalk;
  const isTalking = running?.isTalk === true;
  at("talk").setAttribute("aria-pressed", String(isTalking));
  at("talk").textContent = say(isTalking ? "stop" : "talk");
}

function add(segment) {
  transcript.add(segment);
  update();
}

function finish(seconds) {
  about.duration_s = seconds;
  transcript.partial([]);
  const num = transcript.segments.filter((one) => one.text).length;
  if (num) tell("done", { num, time: clock(seconds) }); else tell("nothing");
}

function explain(error) {
  if (error.name === "AbortError") { tell("stopped"); return; }
  tell("");
  if (error instanceof MicrophoneError) complain(words(error.key));
  else if (error instanceof ApiError && error.status === 401) askForKey();
  else if (error instanceof ApiError && error.message) complain(error.message);
  else complain(say("unreachable"));
}

function words(key) { return say(key, { port: location.port || "80", host: location.hostname }); }

function askForKey() {
  at("key-row").hidden = false;
  at("key").focus();
  complain(say("need_key"));
}

// --- a file --------------------------------------------------------------------------------------

async function hearFile(file) {
  if (running || !file) return;
  const aborting = new AbortController();
  running = { isTalk: false, stop: () => aborting.abort() };
  begin(file.name);
  player.open(file);
  tell("sending", { name: file.name });
  try {
    const whole = await transcribe(file, at("key").value, asked(), aborting.signal, (segment) => {
      add(segment);
      tell("hearing", { name: file.name, time: clock(segment.end_s) });
    });
    finish(whole.duration ?? whole.usage?.seconds ?? player.duration);
  } catch (error) {
    explain(error);
  } finally {
    running = null;
    update();
  }
}

function asked() {
  const found = {};
  for (const id of KEPT) found[id] = at(id).type === "checkbox" ? at(id).checked : at(id).value;
  return found;
}

// --- the microphone ------------------------------------------------------------------------------

async function talk() {
  if (running?.isTalk) { running.stop(); return; }
  if (running) return;
  const session = new Talk();
  running = session;
  begin("microphone");
  tell("opening");
  try {
    await session.open();
  } catch (error) {
    session.over();
    explain(error);
  }
}

class Talk {
  constructor() {
    this.isTalk = true;
    this.blocks = [];
    this.held = [];  // what was said before the server listened
    this.seconds = 0;
  }

  async open() {
    this.microphone = await Microphone.open((block) => this.push(block));
    this.rate = this.microphone.rate;
    const { model, language: spoken, to, labels, itn } = asked();
    const start = { model, rate_hz: this.rate, labels, itn };
    if (spoken) start.language = spoken;
    if (to) start.to = to;
    this.captions = new Captions(at("key").value, start, {
      ready: (message) => { about.model = message.model; this.isReady = true; },
      partial: (message) => transcript.partial(message.words),
      final: (message) => transcript.final(message.words),
      said: (message) => add(message.segment),
      error: (message) => complain(message.error.message),
      done: (message) => finish(message.duration_s),
      closed: (code, isDone) => this.closed(code, isDone),
    });
    this.captions.rate = this.rate;
    for (const block of this.held.splice(0)) this.captions.push(block);
    tell("loading");
  }

  push(block) {
    this.seconds += block.length / (this.rate ?? 16000);
    player.push(block);
    if (this.seconds < MAX_KEPT_S) this.blocks.push(block);
    else if (this.blocks.length) this.blocks = [];  // too long to be kept in memory
    if (!this.captions) this.held.push(block);
    else if (!this.isEnding) this.captions.push(block);
    if (!this.isReady || this.isEnding) return;
    if (this.captions.behind > 3) tell("behind", { time: clock(this.captions.behind) });
    else tell("listening", { time: clock(this.seconds) });
  }

  async stop() {
    if (this.isEnding) { this.captions?.close(); return; }
    this.isEnding = true;
    tell("ending");
    await this.microphone?.close();
    if (this.captions) this.captions.end(); else this.over();
  }

  async closed(code, isDone) {
    if (!this.isEnding) await this.microphone?.close();
    if (!isDone && at("problem").hidden) complain(say(code === 1006 && !this.isReady ? "unreachable" : "cut"));
    if (!isDone && !this.isReady) checkKey();
    this.over();
  }

  over() {
    if (running === this) running = null;
    if (this.blocks.length && transcript.segments.length) {
      saved = wav(this.blocks, this.rate);
      player.load(saved);
    }
    update();
  }
}

// --- choices -------------------------------------------------------------------------------------

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0]?.[0] ?? "";
}

function fillLanguages() {
  const byName = (codes) => codes.map((code) => [code, nameOf(code)]);
  fill(at("language"), [["", say("auto")], ...byName(SPOKEN)], at("language").value || stored("language"));
  fill(at("to"), [["", say("none")], ...byName(INTO)], at("to").value || stored("to"));
}

async function checkKey() {
  try {
    const found = (await models(at("key").value)).filter((one) => one.kind === "recogniser");
    fill(at("model"), found.map((one) => [one.id, one.id]), stored("model"));
    if (at("problem").textContent === say("need_key")) complain("");
  } catch (error) {
    explain(error);
  }
}

function stored(name) { try { return localStorage.getItem(`mooer.${name}`) ?? ""; } catch { return ""; } }

function store(name, value) { try { localStorage.setItem(`mooer.${name}`, value); } catch { /* private */ } }

function setLanguage(code) {
  speak(code);
  store("interface", language());
  at("speak-zh").setAttribute("aria-pressed", String(language() === "zh"));
  at("speak-en").setAttribute("aria-pressed", String(language() === "en"));
  at("waveform").setAttribute("aria-label", say("waveform"));
  fillLanguages();
  setTheme(document.documentElement.dataset.theme);
  const reason = canRecord();
  at("no-microphone").hidden = !reason;
  at("no-microphone").textContent = reason ? words(reason) : "";
  if (told?.[0]) tell(...told);
  update();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  at("theme").textContent = say(theme === "dark" ? "light" : "theme");
  player.draw();
}

// --- hands on ------------------------------------------------------------------------------------

const KEYS = {
  o: () => at("file").click(),
  r: () => talk(),
  "?": () => at("keys").showModal(),
  " ": () => player.toggle(),
  ArrowLeft: () => player.seek(player.time - 5),
  ArrowRight: () => player.seek(player.time + 5),
  ArrowUp: () => player.seek(transcript.neighbour(player.time, -1) ?? 0),
  ArrowDown: () => player.seek(transcript.neighbour(player.time, 1) ?? player.time),
};

function onKey(event) {
  const isTyping = event.target.closest("input, select, textarea, dialog, audio");
  const isPressing = event.key === " " && event.target.closest("button, a");
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || isTyping || isPressing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.startsWith("Arrow") && at("audio").hidden) return;
  event.preventDefault();
  action();
}

function wire() {
  at("choose").onclick = () => at("file").click();
  at("file").onchange = () => { hearFile(at("file").files[0]); at("file").value = ""; };
  at("talk").onclick = talk;
  at("stop").onclick = () => running?.stop();
  at("help").onclick = () => at("keys").showModal();
  at("speak-zh").onclick = () => setLanguage("zh");
  at("speak-en").onclick = () => setLanguage("en");
  at("theme").onclick = () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
    store("theme", document.documentElement.dataset.theme);
  };
  at("options").onsubmit = (event) => event.preventDefault();
  at("key").onchange = checkKey;
  for (const id of KEPT) {
    at(id).addEventListener("change", () => store(id, at(id).type === "checkbox" ? String(at(id).checked) : at(id).value));
  }
  at("copy").onclick = async () => {
    await navigator.clipboard?.writeText(render("txt", transcript.segments, about));
    tell("copied");
  };
  at("save-sound").onclick = () => saved && download("microphone.wav", saved);
  for (const button of document.querySelectorAll("[data-format]")) {
    const { format } = button.dataset;
    const type = { json: "application/json", vtt: "text/vtt" }[format] ?? "text/plain";
    button.onclick = () => {
      const name = (about.source ?? "transcript").replace(/\.[^.]*$/, "");
      download(`${name}.${format}`, render(format, transcript.segments, about), `${type};charset=utf-8`);
    };
  }
  document.addEventListener("keydown", onKey);
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") hearFile(event.dataTransfer.files[0]);
    });
  }
}

wire();
for (const id of ["labels", "speakers", "itn"]) if (stored(id)) at(id).checked = stored(id) === "true";
document.documentElement.dataset.theme = stored("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
setLanguage(stored("interface") || (navigator.language.startsWith("zh") ? "zh" : "en"));
checkKey();
