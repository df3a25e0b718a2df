// The turns of a conversation on the page: both sides, what of an answer was heard, where it is
// from, and where its time went.

import { say } from "./strings.js";
import { draw, seconds, stages } from "./waterfall.js";

export class Turns {
  constructor(list) {
    this.list = list;
    this.clear();
  }

  clear() {
    this.list.replaceChildren();
    this.byItem = new Map();
    this.open = null;  // the item that the user is speaking
    this.late = new Map();  // responses -> what came before their first word
  }

  get isEmpty() { return this.byItem.size === 0; }

  take(event) { TELL[event.type]?.(this, event); }

  // The line of an item, made if it is not there.
  line(item, role) {
    let line = this.byItem.get(item);
    if (line) return line;
    line = { role, text: "", element: make("li", `turn ${role}`) };
    line.who = make("span", "who");
    line.heard = make("span", "heard");
    line.rest = make("span", "unheard");
    const words = make("p", "words");
    words.append(line.heard, line.rest);
    line.element.append(line.who, words);
    this.byItem.set(item, line);
    if (role === "user") this.open = item;
    this.list.append(line.element);
    this.word(line);
    line.element.scrollIntoView({ block: "nearest" });
    return line;
  }

  word(line) {
    line.who.textContent = say(line.role === "user" ? "you" : "agent");
    if (line.sources) line.sources.firstChild.textContent = say("sources");
    if (line.moments) this.time(line, line.moments);
  }

  reword() { for (const line of this.byItem.values()) this.word(line); }

  write(line, text) {
    line.text = text;
    line.heard.textContent = text || "…";
    line.rest.textContent = "";
  }

  // Of an answer that was broken off: what was heard, and what was not.
  cut(line, heard) {
    const whole = line.text;
    const num = whole.startsWith(heard) ? heard.length : 0;
    line.heard.textContent = num ? whole.slice(0, num) : heard;
    line.rest.textContent = num || !heard ? whole.slice(num) : "";
    line.rest.title = say("unheard");
    line.element.classList.add("is-cut");
  }

  drop(item) {
    this.byItem.get(item)?.element.remove();
    this.byItem.delete(item);
  }

  source(line, sources) {
    if (!sources.length || line.sources) return;
    line.sources = make("details", "sources");
    const summary = make("summary", "");
    summary.textContent = say("sources");
    const list = make("ol", "");
    for (const { name, text } of sources) {
      const one = make("li", ""), title = make("strong", ""), quote = make("span", "quote");
      title.textContent = name;
      quote.textContent = text;
      one.append(title, quote);
      list.append(one);
    }
    line.sources.append(summary, list);
    line.element.append(line.sources);
  }

  time(line, moments) {
    const whole = stages(moments).at(-1)?.to;
    if (!whole) return;
    line.moments = moments;
    const wasOpen = line.times?.open;
    line.times?.remove();
    line.times = make("details", "times");
    if (wasOpen) line.times.open = true;
    const summary = make("summary", "");
    summary.textContent = say("answered_in", { time: seconds(whole) });
    line.times.append(summary, draw(moments));
    line.element.append(line.times);
  }

  // What is known of a response, now or once it has a line.
  about(event, tell) {
    const line = this.byItem.get(event.item_id);
    if (line) { tell(line); return; }
    const waiting = this.late.get(event.response_id) ?? [];
    this.late.set(event.response_id, [...waiting, tell]);
  }
}

const TELL = {
  "input_audio_buffer.speech_started": (turns, event) => turns.write(turns.line(event.item_id, "user"), ""),
  "mooer.partial": (turns, event) => turns.write(turns.line(event.item_id, "user"), event.text),
  "conversation.item.input_audio_transcription.completed": (turns, event) => {
    turns.write(turns.line(event.item_id, "user"), event.transcript);
    turns.open = null;
  },
  "mooer.back_channel": (turns, event) => {
    const line = turns.line(event.item_id, "user");
    turns.write(line, event.text);
    line.element.classList.add("is-aside");
    turns.open = null;
  },
  "mooer.resumed": (turns) => turns.drop(turns.open),
  "conversation.item.done": (turns, { item }) => {
    const text = item.content?.[0]?.text;
    if (item.role !== "user" || !text) return;
    turns.write(turns.line(item.id, "user"), text);
    turns.open = null;
  },
  "conversation.item.deleted": (turns, event) => turns.drop(event.item_id),
  "response.output_item.added": (turns, event) => {
    if (event.item.type !== "message") return;
    const line = turns.line(event.item.id, "agent");
    for (const tell of turns.late.get(event.response_id) ?? []) tell(line);
    turns.late.delete(event.response_id);
  },
  "response.output_audio_transcript.delta": (turns, event) => {
    const line = turns.line(event.item_id, "agent");
    turns.write(line, line.text + event.delta);
  },
  "response.output_text.delta": (turns, event) => {
    const line = turns.line(event.item_id, "agent");
    turns.write(line, line.text + event.delta);
  },
  "mooer.remembered": (turns, event) => {
    const line = turns.byItem.get(event.item_id);
    if (line && !event.is_whole) turns.cut(line, event.text);
  },
  "mooer.sources": (turns, event) => turns.about(event, (line) => turns.source(line, event.sources)),
  "mooer.waterfall": (turns, event) => turns.about(event, (line) => turns.time(line, event.moments)),
};

function make(name, kind) {
  const element = document.createElement(name);
  if (kind) element.className = kind;
  return element;
}
