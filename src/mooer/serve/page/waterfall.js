// Where the time between the end of what a person said and the first sound of the answer went.

import { say } from "./strings.js";

const SVG = "http://www.w3.org/2000/svg";
const STAGES = ["speech_end", "vad", "turn", "asr_final", "retrieval", "first_token", "first_clause", "first_audio", "played"];
const WIDTH = 440, ROW = 22, LEFT = 140, RIGHT = 66;

// Stages that happened, in the order of time: [{name, from, to}] in seconds from the first moment.
export function stages(moments) {
  const found = STAGES.filter((name) => Number.isFinite(moments[name]));
  found.sort((a, b) => moments[a] - moments[b]);
  const origin = moments[found[0]];
  return found.slice(1).map((name, i) => ({ name, from: moments[found[i]] - origin, to: moments[name] - origin }));
}

// An SVG of them, or nothing where there is nothing to tell.
export function draw(moments) {
  const rows = stages(moments), whole = rows.at(-1)?.to;
  if (!whole) return null;
  const svg = make("svg", { class: "waterfall", viewBox: `0 0 ${WIDTH} ${ROW * rows.length + 4}`, role: "img" });
  const title = make("title", {});
  title.textContent = say("waterfall", { time: seconds(whole) });
  svg.append(title);
  const x = (time) => LEFT + (WIDTH - LEFT - RIGHT) * time / whole;
  rows.forEach(({ name, from, to }, i) => {
    const y = i * ROW + 4;
    svg.append(label(say(`stage_${name}`), { x: LEFT - 10, y: y + 12, "text-anchor": "end" }));
    const width = Math.max(2, x(to) - x(from));
    svg.append(make("rect", { x: x(from), y, width, height: ROW - 7, rx: 3, class: `stage stage-${i % 4}` }));
    svg.append(label(seconds(to - from), { x: x(to) + 6, y: y + 12 }));
  });
  return svg;
}

export function seconds(time) { return `${Math.round(1000 * time)} ms`; }

function label(text, attributes) {
  const element = make("text", attributes);
  element.textContent = text;
  return element;
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
