// Runs beside the sound: gathers a tenth of a second of the microphone as 16-bit samples.

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Int16Array(Math.round(sampleRate / 10));
    this.length = 0;
  }

  process(inputs) {
    const channels = inputs[0];
    if (!channels || !channels.length) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      const value = Math.max(-1, Math.min(1, sum / channels.length));
      this.block[this.length++] = Math.round(value * 32767);
      if (this.length === this.block.length) {
        const full = this.block;
        this.block = new Int16Array(full.length);
        this.length = 0;
        this.port.postMessage(full, [full.buffer]);
      }
    }
    return true;
  }
}

registerProcessor("mooer-recorder", Recorder);
