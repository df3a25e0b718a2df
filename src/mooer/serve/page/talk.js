// One talk into the microphone: from the first block of sound to the last words.

import { Captions } from "./captions.js";
import { Microphone } from "./microphone.js";

const MAX_KEPT_S = 3600;  // to be played again

export class Talk {
  // `start` is what the stream asks for. `on` has `block(samples, seconds)`, `ready(model)`,
  // `partial(words)`, `final(words)`, `said(segment)`, `sound(message)`, `unsaid()`,
  // `problem(text)`, `warn(text)`, `behind(seconds)`, `done(seconds)`, `cut(wasReady)` and, at the end of all, `over()`.
  constructor(key, start, on) {
    this.isTalk = true;
    this.key = key;
    this.start = start;
    this.on = on;
    this.blocks = [];
    this.held = [];  // what was said before there was a connection
    this.seconds = 0;
  }

  // MicrophoneError if there is none.
  async open() {
    this.microphone = await Microphone.open((block) => this.push(block));
    if (this.isEnding) { await this.microphone.close(); return; }
    this.rate = this.microphone.rate;
    const { on } = this;
    this.captions = new Captions(this.key, { ...this.start, rate_hz: this.rate }, {
      ready: (message) => { this.isReady = true; on.ready(message.model); },
      partial: (message) => on.partial(message.words),
      final: (message) => on.final(message.words),
      said: (message) => on.said(message.segment),
      sound: (message) => on.sound(message),
      unsaid: () => on.unsaid(),
      error: (message) => { this.isTold = true; on.problem(message.error.message); },
      warning: (message) => on.warn(message.message),
      done: (message) => on.done(message.duration_s),
      closed: (code, isDone) => this.closed(isDone),
    });
    this.captions.rate = this.rate;
    for (const block of this.held.splice(0)) this.captions.push(block);
  }

  push(block) {
    this.seconds += block.length / (this.rate ?? 16000);
    if (this.seconds < MAX_KEPT_S) this.blocks.push(block);
    else if (this.blocks.length) this.blocks = [];  // too long to be kept in memory
    if (!this.captions) this.held.push(block);
    else if (!this.isEnding) this.captions.push(block);
    if (!this.isEnding) this.on.block(block, this.seconds);
    if (this.isReady && !this.isEnding) this.on.behind(this.captions.behind);
  }

  // The first time it lets the server hear all that was said; the second time it does not wait.
  async stop() {
    if (this.isEnding) { this.captions?.close(); return; }
    this.isEnding = true;
    await this.microphone?.close();
    if (this.captions) this.captions.end(); else this.on.over();
  }

  async closed(isDone) {
    const wasEnding = this.isEnding;
    this.isEnding = true;
    if (!wasEnding) await this.microphone.close();
    if (!isDone && !this.isTold) this.on.cut(this.isReady === true);
    this.on.over();
  }
}
