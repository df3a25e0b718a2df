// Runs beside the sound: plays answers, to the sample, and tells how far. Chunks come as
// {item, start, samples}; {end: item} says that no more is on its way, {flush: true} forgets all.

const LEAST_S = 0.08, MOST_S = 0.5, MORE_S = 0.04;  // of sound held before it is played
const REPORT_S = 0.05;

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.chunks = [];
    this.at = 0;  // in the first chunk
    this.held = 0;  // samples that wait
    this.wanted = LEAST_S * sampleRate;
    this.isPlaying = false;
    this.isWhole = false;
    this.told = null;  // what was last told
    this.place = null;  // {item, played}: how far it has got
    this.port.onmessage = (event) => this.take(event.data);
  }

  take(message) {
    if (message.flush) { this.flush(); return; }
    if (message.end !== undefined) { this.isWhole = true; return; }
    this.chunks.push(message);
    this.held += message.samples.length;
    this.isWhole = false;
  }

  flush() {
    const place = this.place;
    this.chunks = [];
    this.at = this.held = 0;
    this.isPlaying = false;
    this.wanted = LEAST_S * sampleRate;
    this.tell(true);
    this.port.postMessage({ flushed: true, ...place });
  }

  process(inputs, outputs) {
    const out = outputs[0][0];
    if (!this.isPlaying && this.held > 0 && (this.held >= this.wanted || this.isWhole)) {
      this.isPlaying = true;
      this.port.postMessage({ isPlaying: true });
    }
    if (this.isPlaying) this.play(out);
    for (const other of outputs[0].slice(1)) other.set(out);
    return true;
  }

  play(out) {
    let done = 0;
    while (done < out.length && this.chunks.length) {
      const chunk = this.chunks[0];
      const num = Math.min(out.length - done, chunk.samples.length - this.at);
      out.set(chunk.samples.subarray(this.at, this.at + num), done);
      done += num;
      this.at += num;
      this.held -= num;
      this.place = { item: chunk.item, played: chunk.start + this.at };
      if (this.at === chunk.samples.length) { this.chunks.shift(); this.at = 0; }
    }
    const isDry = this.chunks.length === 0;
    if (isDry) {
      this.isPlaying = false;
      // It came too slowly: hold more from here on, so that it does not stutter.
      if (!this.isWhole) this.wanted = Math.min(this.wanted + MORE_S * sampleRate, MOST_S * sampleRate);
    }
    this.tell(isDry);
    if (isDry) this.port.postMessage({ isPlaying: false });
  }

  tell(now) {
    const { place, told } = this;
    if (!place || (told && told.item === place.item && told.played === place.played)) return;
    const isNew = !told || told.item !== place.item;
    if (!now && !isNew && place.played - told.played < REPORT_S * sampleRate) return;
    this.told = place;
    this.port.postMessage({ ...place });
  }
}

registerProcessor("mooer-playback", Playback);
