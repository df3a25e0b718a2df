// The page: a file or the microphone in, the transcript out. Each module beside this one does one thing.

import { Aloud } from "./aloud.js";
import { asked, fillModels, firstLanguage, keepKey, key, restore, setLanguage, tellTheme, toggleTheme } from "./choices.js";
import { Conversation } from "./conversation.js";
import { clock, copy, download, render, wav } from "./exports.js";
import { canRecord, MicrophoneError } from "./microphone.js";
import { Player } from "./player.js";
import { ApiError, models, transcribe } from "./recordings.js";
import { say } from "./strings.js";
import { Talk } from "./talk.js";
import { Transcript } from "./transcript.js";
import { Turns } from "./turns.js";

const BEHIND_S = 3;  // from which on it is told
const at = (id) => document.getElementById(id);

const transcript = new Transcript(at("transcript"), at("open"), (time) => player.seek(time));
const turns = new Turns(at("turns"));
const player = new Player(at("waveform"), at("audio"), { time: follow, change: update });

let about = {};  // of the transcript on the page
let running = null;  // what is under way: {isTalk, isConversation, stop()}
let agent = "";  // who converses, by its name
let speaks = false;  // whether the server has a voice
let aloud = null;  // what speaks the translations, to the end of the last
let saved = null;  // a wav of what was said
let waiting = null;  // what was begun without a key, and goes on with one

// --- what is shown -------------------------------------------------------------------------------

const told = { status: null, problem: null };  // so that it can be told in the other language

// A sentence of `strings.js`, or none. Only what changes is put in: a screen reader reads it out.
function tell(name, values) { put("status", at("status"), name && [name, values]); }

function complain(name, values) {
  put("problem", at("problem-text"), name && [name, values]);
  at("problem").hidden = !name;
}

function put(place, element, what) {
  told[place] = what ?? null;
  const text = what ? say(...what) : "";
  if (element.textContent !== text) element.textContent = text;
}

function begin(source) {
  complain();
  transcript.clear();
  turns.clear();
  player.clear();
  aloud?.close();
  aloud = saved = null;
  about = { source, model: at("model").value, to: at("to").value || undefined };
  progress();
  update();
}

// A share from 0 to 1, "some" where it is not known, or nothing.
function progress(share) {
  at("progress").hidden = share === undefined;
  if (typeof share === "number") at("progress").value = share; else at("progress").removeAttribute("value");
}

function update() {
  const hasText = transcript.segments.length > 0, isTalk = running?.isTalk === true;
  const isConversation = running?.isConversation === true, hasTurns = isConversation || !turns.isEmpty;
  const isEmpty = !hasText && !running && !player.isReady && !hasTurns;
  document.body.classList.toggle("is-empty", isEmpty);
  document.body.classList.toggle("is-conversing", isConversation);
  document.body.classList.toggle("is-talking", isTalk && !running.isEnding);
  at("empty").hidden = !isEmpty;
  at("text").hidden = !hasText && !isTalk;
  at("exports").hidden = !hasText;
  at("listening").hidden = isEmpty || hasTurns;
  at("transcript").setAttribute("aria-live", isTalk ? "polite" : "off");
  at("save-sound").hidden = saved === null;
  at("aloud").parentElement.hidden = !speaks;
  at("aloud").disabled = !at("to").value;
  at("stop").hidden = !running || isTalk || isConversation;
  at("choose").disabled = running !== null;
  at("talk").disabled = running !== null && !isTalk;
  at("talk").setAttribute("aria-pressed", String(isTalk));
  at("talk-name").textContent = say(isTalk ? "stop" : "dictate");
  at("talk-shape").setAttribute("href", isTalk ? "#shape-stop" : "#shape-talk");
  at("converse").hidden = !agent;
  at("converse").disabled = running !== null && !isConversation;
  at("converse").setAttribute("aria-pressed", String(isConversation));
  at("converse-name").textContent = say(isConversation ? "stop" : "talk");
  at("converse-shape").setAttribute("href", isConversation ? "#shape-stop" : "#shape-converse");
  at("conversation").hidden = !hasTurns;
  at("say-row").hidden = !isConversation;
  at("state").hidden = !isConversation;
  at("state").textContent = isConversation && running.state ? say(`state_${running.state}`) : "";
  at("state").dataset.state = running?.state ?? "";
  at("interrupt").disabled = running?.state !== "speaking" && running?.state !== "thinking";
  at("play").disabled = !player.isReady;
  at("play").setAttribute("aria-label", say(player.isPlaying ? "pause" : "play"));
  at("play-shape").setAttribute("href", player.isPlaying ? "#shape-pause" : "#shape-play");
  at("speed").hidden = !player.isReady;
  at("mute").hidden = !player.isBroken || isEmpty;
  showTime();
}

function follow(time) {
  transcript.show(time);
  showTime();
}

function showTime() {
  const now = clock(running?.isTalk ? running.seconds : player.time), whole = clock(player.duration);
  const text = player.isReady ? `${now} / ${whole}` : now;
  if (at("clock").textContent === text) return;
  at("clock").textContent = text;
  at("waveform").setAttribute("aria-valuetext", say("of", { time: now, whole }));
}

function add(segment) {
  transcript.add(segment);
  if (segment.speaker) player.paint(transcript.spans());
  update();
}

function finish(seconds) {
  about.duration_s = seconds;
  transcript.partial([]);
  const num = transcript.segments.filter((one) => one.text).length;
  if (num) tell(num > 1 ? "done" : "done_one", { num, time: clock(seconds) }); else tell("nothing");
}

function explain(error, again) {
  tell(error.name === "AbortError" ? "stopped" : undefined);
  if (error.name === "AbortError") return;
  if (error instanceof MicrophoneError) complain(error.key, place());
  else if (error instanceof ApiError && error.status === 401) askForKey(again);
  else if (error instanceof ApiError && error.message) complain(error.message);
  else if (error instanceof ApiError) complain("unreachable");
  else { complain("unreachable"); console.error(error); }
}

function place() { return { port: location.port || "80", host: location.hostname }; }

// --- keys of the API -----------------------------------------------------------------------------

function askForKey(again) {
  waiting = again ?? waiting;
  at("key-row").hidden = false;
  at("key-row").classList.toggle("wrong", key() !== "");
  at("key-why").dataset.text = key() ? "wrong_key" : "need_key";
  at("key-why").textContent = say(at("key-why").dataset.text);
  at("key").focus();
  at("key").select();
}

// Which models there are; what waited for a key goes on. Whether the server lets this page in.
async function enter() {
  try {
    const found = await models(key());
    fillModels(found.filter((one) => one.kind === "recogniser").map((one) => one.id));
    agent = found.find((one) => one.kind === "agent")?.id ?? "";
    speaks = found.some((one) => one.kind === "speaker");
    update();
    keepKey();
    complain();
    at("key-row").hidden = true;
  } catch (error) {
    explain(error);
    return false;
  }
  const again = waiting;
  waiting = null;
  again?.();
  return true;
}

// --- a file --------------------------------------------------------------------------------------

async function hearFile(file) {
  if (!file) return;
  if (running) { complain("busy"); return; }
  const aborting = new AbortController();
  running = { isTalk: false, stop: () => aborting.abort() };
  begin(file.name);
  player.open(file);
  player.reach(0);
  tell("sending", { name: file.name });
  const options = asked();
  let sent = 0;
  try {
    const whole = await transcribe(file, key(), options, aborting.signal, {
      sent: (share) => {
        sent = share;
        progress(share < 1 ? share : "some");
        if (share === 1) tell(options.speakers ? "whole" : "hearing", { name: file.name });
      },
      segment: (segment) => {
        add(segment);
        player.reach(segment.end_s);
        if (player.duration) progress(Math.min(1, segment.end_s / player.duration));
      },
    });
    finish(whole.duration ?? whole.usage?.seconds ?? player.duration);
  } catch (error) {
    const isRefused = error instanceof ApiError && error.status === 0 && sent > 0 && sent < 1;
    if (isRefused && await isThere()) { tell(); complain("refused"); } else explain(error, () => hearFile(file));
  } finally {
    running = null;
    progress();
    player.reach(Infinity);
    update();
  }
}

async function isThere() { return fetch("/health").then((answer) => answer.ok, () => false); }

// --- the microphone ------------------------------------------------------------------------------

async function talk() {
  if (running?.isTalk) { stopTalk(); return; }
  if (running) { complain("busy"); return; }
  const { model, language, to, labels, itn, aloud: isAloud } = asked();
  const start = { model, labels, itn, ...(language && { language }), ...(to && { to }) };
  if (to && speaks && isAloud) start.speak = true;
  const session = new Talk(key(), start, {
    block: (block) => { player.push(block); showTime(); },
    ready: (name) => { about.model = name; tell("listening"); },
    partial: (words) => transcript.partial(words),
    final: (words) => transcript.final(words),
    said: add,
    sound: (message) => aloud?.push(message),
    unsaid: () => tell("unsaid"),
    problem: (text) => complain(text),
    warn: (text) => tell(text),
    behind: (seconds) => {
      if (seconds > BEHIND_S) tell("behind", { time: clock(seconds) });
      else if (told.status?.[0] === "behind") tell("listening");
    },
    done: finish,
    cut: async (wasReady) => { tell(); if (wasReady || await enter()) complain("cut"); },
    over: () => endTalk(session),
  });
  running = session;
  begin("microphone");
  if (start.speak) aloud = new Aloud();
  tell("opening");
  try {
    await session.open();
    if (running === session && !session.isReady) tell("loading");
  } catch (error) {
    endTalk(session);
    explain(error);
  }
}

function stopTalk() {
  if (running.isEnding) aloud?.close();  // who presses twice does not want to hear the rest
  tell("ending");
  running.stop();
  update();
}

function endTalk(session) {
  if (running === session) running = null;
  if (told.status?.[0] === "ending") tell("stopped");
  aloud?.finish();
  if (session.blocks.length && session.rate) {
    saved = wav(session.blocks, session.rate);
    player.load(saved);
  }
  update();
}

// --- a conversation ------------------------------------------------------------------------------

async function converse() {
  if (running?.isConversation) { running.stop(); return; }
  if (running) { complain("busy"); return; }
  const one = new Conversation(key(), agent, asked().language, {
    state: update,
    opened: (hasMicrophone) => tell(...(hasMicrophone ? [] : ["talk_typed"])),
    problem: (text) => complain(text, place()),
    event: (event) => turns.take(event),
    over: async (isTold, wasOpen) => {
      if (running === one) running = null;
      tell("talk_over");
      update();
      if (!isTold && (wasOpen || await enter())) complain("cut");
    },
  });
  running = one;
  begin("conversation");
  tell("wait_agent");
  try {
    await one.open();
  } catch (error) {
    if (running === one) running = null;
    explain(error);
    update();
  }
}

// --- hands on ------------------------------------------------------------------------------------

const KEYS = {
  o: () => at("choose").disabled || at("file").click(),
  r: () => talk(),
  t: () => at("converse").hidden || converse(),
  Escape: () => { running?.interrupt?.(); aloud?.flush(); },
  "?": () => at("keys").showModal(),
  " ": () => (running?.isConversation ? running.interrupt() : player.toggle()),
  ArrowLeft: () => player.seek(player.time - 5),
  ArrowRight: () => player.seek(player.time + 5),
  ArrowUp: () => player.seek(transcript.neighbour(player.time, -1) ?? 0),
  ArrowDown: () => player.seek(transcript.neighbour(player.time, 1) ?? player.time),
};

function onKey(event) {
  const isTicking = event.target.matches("input[type=checkbox]") && event.key !== " ";
  const isLeaving = event.key === "Escape" && running?.isConversation && !event.target.closest("dialog");
  const isTyping = !isTicking && !isLeaving && event.target.closest("input, select, textarea, dialog");
  const isPressing = event.key === " " && event.target.closest("button, a");
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || isTyping || isPressing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.startsWith("Arrow") && !player.isReady) return;
  event.preventDefault();
  action();
}

function reword(code) {
  setLanguage(code);
  const reason = canRecord();
  at("no-microphone").hidden = !reason;
  at("no-microphone").textContent = reason ? say(reason, place()) : "";
  tell(...(told.status ?? []));
  complain(...(told.problem ?? []));
  transcript.reword();
  turns.reword();
  update();
}

function wire() {
  at("choose").onclick = () => at("file").click();
  at("file").onchange = () => { hearFile(at("file").files[0]); at("file").value = ""; };
  at("talk").onclick = talk;
  at("converse").onclick = converse;
  at("interrupt").onclick = () => running?.interrupt?.();
  at("say-row").onsubmit = (event) => {
    event.preventDefault();
    const text = at("say").value.trim();
    at("say").value = "";
    if (text) running?.say?.(text);
  };
  at("stop").onclick = () => running?.stop();
  at("play").onclick = () => player.toggle();
  at("speed").onclick = () => { at("speed").textContent = `${player.faster()}×`; };
  at("help").onclick = () => at("keys").showModal();
  at("speak-zh").onclick = () => reword("zh");
  at("speak-en").onclick = () => reword("en");
  at("theme").onclick = () => { toggleTheme(); player.recolour(); };
  matchMedia("(prefers-color-scheme: dark)").onchange = () => { tellTheme(); player.recolour(); };
  at("to").addEventListener("change", update);
  at("options").onsubmit = (event) => event.preventDefault();
  at("key-row").onsubmit = (event) => { event.preventDefault(); enter(); };
  at("copy").onclick = async () => {
    tell(await copy(render("txt", transcript.segments, about)) ? "copied" : "no_copy");
  };
  at("save-sound").onclick = () => saved && download("microphone.wav", saved);
  for (const button of document.querySelectorAll("[data-format]")) button.onclick = () => save(button.dataset.format);
  document.addEventListener("keydown", onKey);
  document.addEventListener("paste", (event) => hearFile(event.clipboardData?.files[0]));
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop") hearFile(event.dataTransfer.files[0]);
    });
  }
}

function save(format) {
  const type = { json: "application/json", vtt: "text/vtt" }[format] ?? "text/plain";
  const name = (about.source ?? "transcript").replace(/\.[^.]*$/, "");
  download(`${name}.${format}`, render(format, transcript.segments, about), `${type};charset=utf-8`);
}

restore();
wire();
reword(firstLanguage());
enter();
