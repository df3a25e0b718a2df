// Answers in 16-bit samples to the loudspeaker; what was played is told to the sample.

const RATE = 24000;

export class Speaker {
  // `on` has `played(item, samples)` and `playing(isPlaying)`.
  static async open(on, rate = RATE) {
    const speaker = new Speaker();
    speaker.rate = rate;
    speaker.on = on;
    speaker.ends = new Map();  // items -> samples of them that were pushed
    speaker.context = new AudioContext({ sampleRate: rate });
    await speaker.context.audioWorklet.addModule("/static/playback.js");
    speaker.node = new AudioWorkletNode(speaker.context, "mooer-playback", { numberOfInputs: 0 });
    speaker.node.port.onmessage = (event) => speaker.hear(event.data);
    speaker.node.connect(speaker.context.destination);
    await speaker.context.resume();
    return speaker;
  }

  // Base64 of samples that follow those before of the same item; how many they are.
  push(item, data) {
    const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
    const values = new Int16Array(bytes.buffer);
    const samples = Float32Array.from(values, (value) => value / 32768);
    const start = this.ends.get(item) ?? 0;
    this.ends.set(item, start + samples.length);
    this.node.port.postMessage({ item, start, samples }, [samples.buffer]);
    return values.length;
  }

  end(item) { this.node.port.postMessage({ end: item }); }

  // The item is played again from so many samples on.
  rewind(item, samples) { this.ends.set(item, samples); }

  // Silence at once; then {item, played} of what was played last, or nothing.
  flush() {
    this.flushed?.();
    return new Promise((resolve) => {
      this.flushed = resolve;
      this.node.port.postMessage({ flush: true });
    });
  }

  hear(message) {
    if (message.flushed) {
      this.on.playing(false);
      this.flushed?.(message.item === undefined ? undefined : message);
      this.flushed = null;
    } else if (message.isPlaying !== undefined) this.on.playing(message.isPlaying);
    else this.on.played(message.item, message.played);
  }

  async close() {
    this.node.port.onmessage = null;
    this.flushed?.();
    await this.context.close();
  }
}
