// The microphone as blocks of 16-bit samples, at 16 kHz where the browser can do that.

const WANTED_HZ = 16000;

export class MicrophoneError extends Error {
  constructor(key) { super(key); this.key = key; }
}

export function canRecord() {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) return "no_secure";
  return window.AudioWorkletNode ? "" : "no_worklet";
}

export class Microphone {
  static async open(onBlock) {
    const reason = canRecord();
    if (reason) throw new MicrophoneError(reason);
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: false, autoGainControl: true },
      });
    } catch (error) {
      throw new MicrophoneError(error.name === "NotAllowedError" ? "no_permission" : "no_device");
    }
    const microphone = new Microphone();
    microphone.stream = stream;
    try {
      await microphone.connect(WANTED_HZ, onBlock);
    } catch {
      await microphone.context?.close();  // some browsers do not change the rate of a microphone
      await microphone.connect(undefined, onBlock);
    }
    return microphone;
  }

  async connect(rate, onBlock) {
    this.context = new AudioContext(rate ? { sampleRate: rate } : {});
    await this.context.audioWorklet.addModule("/static/recorder.js");
    const source = this.context.createMediaStreamSource(this.stream);
    this.node = new AudioWorkletNode(this.context, "mooer-recorder", { numberOfOutputs: 0 });
    this.node.port.onmessage = (event) => onBlock(event.data);
    source.connect(this.node);
    await this.context.resume();
  }

  get rate() { return this.context.sampleRate; }

  async close() {
    for (const track of this.stream.getTracks()) track.stop();
    this.node.port.onmessage = null;
    await this.context.close();
  }
}
