// The transcript on the page. What the server says is put in as text, never as markup.

import { clock, foreign, placed } from "./exports.js";
import { iconOf, labelOf, say, speakerOf } from "./strings.js";

const UNSURE = 0.5;  // of a word: it is shown, and marked
const DOUBTFUL = 0.6;  // of a label: it is not shown; the export has it
const NUM_COLOURS = 8;
const REST_MS = 4000;  // whoever scrolls by hand is left alone for so long

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
    this.scrolledAt = -REST_MS;
    this.clear();
    list.addEventListener("click", (event) => {
      const at = event.target.closest("[data-at]")?.dataset.at;
      if (at !== undefined && !String(getSelection())) this.onSeek(Number(at));
    });
    for (const name of ["wheel", "touchmove"]) {
      addEventListener(name, () => { this.scrolledAt = performance.now(); }, { passive: true });
    }
  }

  clear() {
    this.segments = [];
    this.rows = [];
    this.words = [];  // {start_s, end_s, element}, in order of time
    this.finals = [];  // final words of no sentence yet
    this.speakers = [];  // by their first words
    this.now = null;
    this.nowRow = null;
    this.list.replaceChildren();
    this.list.classList.remove("two");
    for (const part of this.openLine.children) part.textContent = "";
  }

  // In another language of the page.
  reword() {
    const { segments, finals } = this;
    this.clear();
    for (const segment of segments) this.add(segment, false);
    this.finals = finals;
    this.partial([]);
  }

  add(segment, isNew = true) {
    this.segments.push(segment);
    this.finals = this.finals.filter((word) => word.start_s >= segment.end_s);
    const row = this.row(segment);
    this.rows.push({ segment, element: row });
    const isNear = isNew && innerHeight + scrollY > document.body.scrollHeight - 240;
    this.list.append(row);
    if (foreign(segment)) this.list.classList.add("two");
    if (isNear) this.reveal(row);
  }

  // Final words, and those that may still change behind them.
  final(words) { this.finals.push(...words); this.partial([]); }

  partial(words) {
    const text = (some) => some.map((word) => word.text).join("");
    const isNear = innerHeight + scrollY > document.body.scrollHeight - 240;
    const [final, partial] = this.openLine.children;
    final.textContent = text(this.finals).trimStart();
    partial.textContent = text(words);
    if (words.length && isNear) this.reveal(this.openLine);
  }

  reveal(element) {
    if (performance.now() - this.scrolledAt > REST_MS) element.scrollIntoView({ block: "nearest" });
  }

  // The colour of a speaker: a name of the style.
  colour(speaker) {
    if (!this.speakers.includes(speaker)) this.speakers.push(speaker);
    return `s${(this.speakers.indexOf(speaker) % NUM_COLOURS) + 1}`;
  }

  row(segment) {
    const row = make("li");
    const time = make("button", "time", clock(segment.start_s));
    time.type = "button";
    time.dataset.at = segment.start_s;
    time.setAttribute("aria-label", say("shown_time", { time: clock(segment.start_s) }));
    const said = make("div", "said");
    const marks = make("div", "marks");
    const before = this.rows.at(-1)?.segment;
    const goesOn = before !== undefined && before.speaker === segment.speaker;
    if (segment.speaker) {
      row.classList.add("spoken", this.colour(segment.speaker));
      marks.append(make("span", goesOn ? "unseen" : "speaker", speakerOf(segment.speaker)));
    }
    for (const one of chips(segment, goesOn ? before : {})) marks.append(one);
    if (marks.childElementCount) said.append(marks);
    const words = make("div", "words");
    words.lang = segment.language;
    this.fill(words, segment);
    said.append(words);
    row.append(time, said);
    if (foreign(segment)) row.append(make("div", "translation", segment.translation));
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
      if (row) this.reveal(row.element);
    }
  }

  // Where the sentence before or behind a time begins.
  neighbour(time, step) {
    const starts = this.segments.map((one) => one.start_s);
    if (step > 0) return starts.find((start) => start > time + 0.05);
    return starts.filter((start) => start < time - 1).at(-1) ?? starts[0];
  }

  // Who speaks when, for the waveform.
  spans() {
    return this.segments.filter((one) => one.speaker).map((one) => (
      { start_s: one.start_s, end_s: one.end_s, colour: `--${this.colour(one.speaker)}` }));
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

// Labels, with how sure they are to whoever points at them; what a voice is only where it is new.
function chips(segment, before) {
  const voice = ["gender", "age"].filter((name) => segment[name]?.name !== before[name]?.name);
  const labels = ["emotion", ...voice].map((name) => segment[name]);
  const shown = labels.filter((label) => label && !["neutral", "unknown"].includes(label.name));
  const events = new Map((segment.events ?? []).map((event) => [event.name, event]));
  return [...shown, ...events.values()].filter((label) => !(label.probability < DOUBTFUL)).map((label) => {
    const chip = make("span", "chip");
    const icon = make("span", "", iconOf(label.name));
    icon.setAttribute("aria-hidden", "true");
    chip.append(icon, labelOf(label.name));
    if (label.probability) chip.title = `${Math.round(100 * label.probability)} %`;
    return chip;
  });
}
