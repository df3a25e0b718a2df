// Translations of what is dictated, to the loudspeaker: one after the other, as they come
// (`sound` in docs/captions.md).

import { Speaker } from "./speaker.js";

export class Aloud {
  constructor() {
    this.pushed = 0;  // samples
    this.played = 0;
    this.before = 0;  // of those, of sentences before the one that is played
    this.isLast = false;
  }

  push({ id, audio, rate_hz }) {
    if (id === this.silenced) return;
    this.newest = id;
    this.opening ??= Speaker.open({
      played: (item, samples) => this.hear(item, samples),
      playing: () => {},
    }, rate_hz);
    // A sentence is played as it comes: when its last piece is there nobody tells.
    this.opening = this.opening.then((speaker) => {
      this.pushed += speaker.push(id, audio);
      speaker.end(id);
      return speaker;
    });
  }

  hear(item, samples) {
    if (item !== this.item) { this.before = this.played; this.item = item; }
    this.played = this.before + samples;
    if (this.isLast && this.played >= this.pushed) this.close();
  }

  // No more will come: when all is played the loudspeaker is given back.
  async finish() {
    await this.opening;
    this.isLast = true;
    if (this.played >= this.pushed) this.close();
  }

  // Silence until the next sentence.
  async flush() {
    this.silenced = this.newest;
    const speaker = await this.opening;
    await speaker?.flush();
    this.played = this.before = this.pushed;
    this.item = null;
    if (this.isLast) this.close();
  }

  async close() {
    const opening = this.opening;
    this.opening = null;
    await (await opening)?.close();
  }
}
