// Live captions: sound in 16-bit samples to `/v1/captions`, messages back (docs/captions.md).

const PROTOCOL = "mooer-captions";
const KEY_PROTOCOL = "openai-insecure-api-key.";
const MAX_AHEAD = 4 << 20;  // bytes that wait to be sent: two minutes

export class Captions {
  // `on` has a function for each type of message, and `closed(code, wasDone)`.
  constructor(key, start, on) {
    const address = new URL("/v1/captions", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const protocols = key ? [PROTOCOL, KEY_PROTOCOL + key] : [PROTOCOL];
    this.socket = new WebSocket(address, protocols);
    this.socket.binaryType = "arraybuffer";
    this.waiting = [JSON.stringify({ type: "start", ...start })];
    this.isDone = false;
    this.isOver = false;
    this.socket.onopen = () => {
      for (const one of this.waiting.splice(0)) this.socket.send(one);
      this.pulse = setInterval(() => this.put(JSON.stringify({ type: "ping" })), 10000);
    };
    this.socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "done") this.isDone = true;
      on[message.type]?.(message);
    };
    this.socket.onclose = (event) => {
      clearInterval(this.pulse);
      this.isOver = true;
      on.closed?.(event.code, this.isDone);
    };
  }

  // Seconds of sound that the network has not taken.
  get behind() { return this.socket.bufferedAmount / (2 * (this.rate ?? 16000)); }

  push(samples) { return this.put(samples.buffer); }

  end() { this.put(JSON.stringify({ type: "end" })); }

  close() { this.socket.close(); }

  put(what) {
    if (this.isOver || this.socket.bufferedAmount > MAX_AHEAD) return false;
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(what);
    else this.waiting.push(what);
    return true;
  }
}
