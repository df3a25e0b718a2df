// The transcript on the page. What the server says is put in as text, never as markup.

import { clock, placed } from "./exports.js";
import { labelOf, say } from "./strings.js";

const UNSURE = 0.5;

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

export class Transcript {
  constructor(list, open, onSeek) {
    this.list = list;
    this.openLine = open;
    this.onSeek = onSeek;
    this.clear();
    list.addEventListener("click", (event) => {
      const at = event.target.closest("[data-at]")?.dataset.at;
      if (at !== undefined && !String(getSelection())) this.onSeek(Number(at));
    });
  }

  clear() {
    this.segments = [];
    this.rows = [];
    this.words = [];  // {start_s, end_s, element}, in order of time
    this.finals = [];  // final words of no sentence yet
    this.now = null;
    this.nowRow = null;
    this.list.replaceChildren();
    this.list.classList.remove("two");
    this.openLine.textContent = "";
  }

  add(segment) {
    this.segments.push(segment);
    this.finals = this.finals.filter((word) => word.start_s >= segment.end_s);
    const row = this.row(segment);
    this.rows.push({ segment, element: row });
    const isNear = innerHeight + scrollY > document.body.scrollHeight - 240;
    this.list.append(row);
    if (segment.translation) this.list.classList.add("two");
    if (isNear) row.scrollIntoView({ block: "nearest" });
  }

  // Final words, and those that may still change behind them.
  final(words) { this.finals.push(...words); this.partial([]); }

  partial(words) {
    this.openLine.textContent = [...this.finals, ...words].map((word) => word.text).join("").trim();
  }

  row(segment) {
    const row = make("li");
    const time = make("button", "time", clock(segment.start_s));
    time.type = "button";
    time.dataset.at = segment.start_s;
    time.setAttribute("aria-label", say("shown_time", { time: clock(segment.start_s) }));
    const said = make("div", "said");
    said.lang = segment.language;
    for (const chip of chips(segment)) said.append(make("span", "chip", chip));
    this.fill(said, segment);
    row.append(time, said);
    if (segment.translation) {
      row.classList.add("with-translation");
      row.append(make("div", "translation", segment.translation));
    }
    return row;
  }

  fill(said, segment) {
    const words = placed(segment);
    if (!words) {
      const whole = make("span", "", segment.text);
      whole.dataset.at = segment.start_s;
      said.append(whole);
      return;
    }
    let at = 0;
    words.forEach((word, i) => {
      const end = i + 1 < words.length ? words[i + 1].begin : segment.text.length;
      said.append(segment.text.slice(at, word.begin));
      const shown = segment.text.slice(word.begin, end);
      const element = make("span", word.probability < UNSURE ? "word unsure" : "word", shown.trimEnd());
      if (word.probability < UNSURE) element.title = say("words_unsure");
      element.dataset.at = word.start_s;
      said.append(element, shown.slice(shown.trimEnd().length));
      this.words.push({ start_s: word.start_s, end_s: word.end_s, element });
      at = end;
    });
  }

  // Mark the word, and the sentence, that is spoken at a time.
  show(time) {
    const word = last(this.words, (one) => one.start_s <= time);
    const element = word && time < word.end_s + 0.3 ? word.element : null;
    if (element !== this.now) {
      this.now?.classList.remove("now");
      element?.classList.add("now");
      this.now = element;
    }
    const row = last(this.rows, (one) => one.segment.start_s <= time);
    if (row?.element !== this.nowRow) {
      this.nowRow?.classList.remove("now");
      row?.element.classList.add("now");
      this.nowRow = row?.element ?? null;
      if (row) row.element.scrollIntoView({ block: "nearest" });
    }
  }

  // Where the sentence before or behind a time begins.
  neighbour(time, step) {
    const starts = this.segments.map((one) => one.start_s);
    if (step > 0) return starts.find((start) => start > time + 0.05);
    return starts.filter((start) => start < time - 1).at(-1) ?? starts[0];
  }
}

// The last that holds, by halving; what holds comes before what does not.
function last(items, holds) {
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle])) low = middle + 1; else high = middle;
  }
  return items[low - 1] ?? null;
}

function chips(segment) {
  const found = [];
  if (segment.speaker) found.push(segment.speaker);
  for (const name of ["emotion", "gender", "age"]) {
    const label = segment[name];
    if (label && !["neutral", "unknown"].includes(label.name)) found.push(labelOf(label.name));
  }
  for (const name of new Set((segment.events ?? []).map((event) => event.name))) found.push(labelOf(name));
  return found;
}
