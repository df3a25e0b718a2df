// What a person has chosen: model, languages, ticks, the language and colours of the page, the key.
// The browser keeps it; the key only as long as the tab is open.

import { INTO, language, nameOf, say, speak, SPOKEN } from "./strings.js";

const SELECTS = ["model", "language", "to"];
const TICKS = ["labels", "speakers", "itn", "aloud"];
const at = (id) => document.getElementById(id);

export function asked() {
  const found = {};
  for (const id of SELECTS) found[id] = at(id).value;
  for (const id of TICKS) found[id] = at(id).checked;
  return found;
}

export function restore() {
  for (const id of SELECTS) at(id).addEventListener("change", () => keep(id, at(id).value));
  for (const id of TICKS) {
    if (kept(id)) at(id).checked = kept(id) === "true";
    at(id).addEventListener("change", () => keep(id, String(at(id).checked)));
  }
  if (kept("theme")) document.documentElement.dataset.theme = kept("theme");
  at("key").value = kept("key", sessionStorage);
}

export function key() { return at("key").value.trim(); }

export function keepKey() { keep("key", key(), sessionStorage); }

export function fillModels(names) {
  fill(at("model"), names.map((name) => [name, name]), kept("model"));
}

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0]?.[0] ?? "";
}

// The page in the language that was chosen once, or else in the browser's.
export function firstLanguage() {
  return kept("interface") || (navigator.language.startsWith("zh") ? "zh" : "en");
}

export function setLanguage(code) {
  speak(code);
  keep("interface", language());
  at("speak-zh").setAttribute("aria-pressed", String(language() === "zh"));
  at("speak-en").setAttribute("aria-pressed", String(language() === "en"));
  const names = { waveform: "waveform", progress: "progress", exports: "exports", speed: "speed" };
  for (const [id, name] of Object.entries(names)) at(id).setAttribute("aria-label", say(name));
  const byName = (codes) => codes.map((one) => [one, nameOf(one)]);
  fill(at("language"), [["", say("auto")], ...byName(SPOKEN)], at("language").value || kept("language"));
  fill(at("to"), [["", say("none")], ...byName(INTO)], at("to").value || kept("to"));
  tellTheme();
}

export function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  keep("theme", theme);
  tellTheme();
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function tellTheme() { at("theme-name").textContent = say(isDark() ? "light" : "dark"); }

// A browser may forbid both.
function kept(name, place) {
  try { return (place ?? localStorage).getItem(`mooer.${name}`) ?? ""; } catch { return ""; }
}

function keep(name, value, place) {
  try { (place ?? localStorage).setItem(`mooer.${name}`, value); } catch { /* then it is not kept */ }
}
