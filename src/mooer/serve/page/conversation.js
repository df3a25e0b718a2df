// A spoken conversation over `/v1/realtime` (docs/realtime.md): the microphone and what is typed
// in, the answers to the loudspeaker. What happens is told to `on`.

import { canRecord, Microphone, MicrophoneError } from "./microphone.js";
import { Speaker } from "./speaker.js";

const KEY_PROTOCOL = "openai-insecure-api-key.";
const MAX_AHEAD = 4 << 20;  // bytes that wait to be sent: about a minute
const EVENTS = ["flush", "resumed", "back_channel", "sources", "waterfall", "partial", "remembered"];

export class Conversation {
  // `on` has `state(name)`, `opened(hasMicrophone)`, `problem(key or text)`, `over(isTold, wasOpen)`
  // and `event(event)` for all events of the server but sound.
  constructor(key, model, language, on) {
    this.isConversation = true;
    this.key = key;
    this.model = model;
    this.language = language;
    this.on = on;
    this.state = "";
    this.responding = null;  // the id of the answer that is being written
    this.isPlaying = false;
    this.isSpeaking = false;  // the user
  }

  // Without a microphone it goes on in writing, and says why; over plain http without sound, too.
  async open() {
    this.setState("opening");
    this.speaker = canRecord() ? null : await Speaker.open({
      played: (item, samples) => this.played(item, samples),
      playing: (isPlaying) => { this.isPlaying = isPlaying; this.settle(); },
    });
    try {
      this.microphone = await Microphone.open((block) => this.push(block));
    } catch (error) {
      if (!(error instanceof MicrophoneError)) throw error;
      this.on.problem(error.key);
    }
    if (this.isEnding) { await this.close(); return; }
    this.connect();
  }

  connect() {
    const address = new URL("/v1/realtime", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.searchParams.set("model", this.model);
    const protocols = this.key ? ["realtime", KEY_PROTOCOL + this.key] : ["realtime"];
    this.socket = new WebSocket(address, protocols);
    this.socket.onopen = () => this.send({ type: "session.update", session: this.session() });
    this.socket.onmessage = (event) => this.hear(JSON.parse(event.data));
    this.socket.onclose = () => this.closed();
  }

  session() {
    const transcription = { model: "default", ...(this.language && { language: this.language }) };
    const format = { type: "audio/pcm", rate: this.microphone?.rate ?? 16000 };
    const input = { format, transcription };
    const mooer = { events: EVENTS, plays: true };
    if (!this.speaker) return { type: "realtime", output_modalities: ["text"], audio: { input }, mooer };
    const output = { format: { type: "audio/pcm", rate: this.speaker.rate } };
    return { type: "realtime", audio: { input, output }, mooer };
  }

  send(event) {
    if (this.socket?.readyState !== WebSocket.OPEN || this.socket.bufferedAmount > MAX_AHEAD) return;
    this.socket.send(JSON.stringify(event));
  }

  push(block) {
    if (!this.isReady || this.isEnding) return;
    const bytes = new Uint8Array(block.buffer);
    this.send({ type: "input_audio_buffer.append", audio: btoa(String.fromCharCode(...bytes)) });
  }

  say(text) {
    const content = [{ type: "input_text", text }];
    this.interrupt();
    this.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
    this.send({ type: "response.create" });
    this.setState("thinking");
  }

  // By button or key: silence at once, and the server learns how far it got.
  async interrupt() {
    const response = this.responding, wasPlaying = this.isPlaying;
    this.responding = null;
    if (response) this.send({ type: "response.cancel", response_id: response });
    if (!response && !wasPlaying) return;
    const place = await this.speaker?.flush();
    this.settle();
    if (!place) return;
    this.played(place.item, place.played);
    const audio_end_ms = Math.floor(1000 * place.played / this.speaker.rate);
    this.send({ type: "conversation.item.truncate", item_id: place.item, content_index: 0, audio_end_ms });
  }

  played(item, samples) {
    this.send({ type: "mooer.played", item_id: item, audio_ms: 1000 * samples / this.speaker.rate });
  }

  hear(event) {
    if (event.type in HANDLERS) HANDLERS[event.type](this, event);
    if (event.type !== "response.output_audio.delta") this.on.event(event);
  }

  setState(name) {
    if (name === this.state) return;
    this.state = name;
    this.on.state(name);
  }

  settle() {
    if (!this.isReady || this.isEnding) return;
    if (this.isPlaying) this.setState("speaking");
    else if (this.isSpeaking) this.setState("listening");
    else this.setState(this.responding || this.isAnswering ? "thinking" : "listening");
  }

  async stop() {
    if (this.isEnding) return;
    this.isEnding = true;
    await this.close();
  }

  async close() {
    this.socket?.close();
    await this.microphone?.close();
    await this.speaker?.close();
    this.microphone = this.speaker = null;
    if (!this.socket) this.on.over(true, false);
  }

  async closed() {
    const isTold = this.isEnding || this.isTold === true;
    this.isEnding = true;
    await this.microphone?.close();
    await this.speaker?.close();
    this.microphone = this.speaker = null;
    this.on.over(isTold, this.isReady === true);
  }
}

const HANDLERS = {
  "session.updated": (one) => { one.isReady = true; one.on.opened(Boolean(one.microphone)); one.settle(); },
  "input_audio_buffer.speech_started": (one) => { one.isSpeaking = true; one.settle(); },
  "input_audio_buffer.committed": (one) => { one.isSpeaking = false; one.isAnswering = true; one.settle(); },
  "conversation.item.deleted": (one) => { one.isSpeaking = true; one.isAnswering = false; one.settle(); },
  "response.created": (one, event) => { one.responding = event.response.id; one.settle(); },
  "response.output_audio.delta": (one, event) => one.speaker?.push(event.item_id, event.delta),
  "response.output_audio.done": (one, event) => one.speaker?.end(event.item_id),
  "response.done": (one) => { one.responding = null; one.isAnswering = false; one.settle(); },
  "mooer.flush": async (one) => {
    const place = await one.speaker?.flush();
    if (place) one.played(place.item, place.played);
  },
  "mooer.resumed": (one, event) => {
    one.isSpeaking = false;
    if (one.speaker) one.speaker.rewind(event.item_id, Math.round(event.audio_ms * one.speaker.rate / 1000));
    one.settle();
  },
  "mooer.back_channel": (one) => { one.isSpeaking = false; one.settle(); },
  error: (one, event) => {
    if (event.error.code === "response_cancel_not_active") return;
    if (!one.isReady) one.isTold = true;
    one.on.problem(event.error.message);
  },
};
