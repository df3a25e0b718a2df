// As much of the standard WebSocket as client.mjs uses, for Node 18 to 21, which have none. With
// Node 22 this file is not needed.

import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import https from "node:https";

const [CONTINUED, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];
const MAX_BYTES = 16 << 20;

export class WebSocket {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 3;
  readyState = WebSocket.CONNECTING;
  #socket; #buffer = Buffer.alloc(0); #parts = []; #code = 1006; #reason = ""; #isOver = false;

  constructor(address, protocols = []) {
    const url = new URL(address);
    url.protocol = url.protocol.replace("ws", "http");
    const key = randomBytes(16).toString("base64");
    const request = (url.protocol === "https:" ? https : http).get(url, {
      headers: {
        Connection: "Upgrade", Upgrade: "websocket",
        "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13",
        ...(protocols.length && { "Sec-WebSocket-Protocol": protocols.join(", ") }),
      },
    });
    request.on("error", () => this.#end());
    request.on("response", (answer) => { answer.destroy(); this.#end(); });  // it refused
    request.on("upgrade", (answer, socket, first) => {
      const wanted = createHash("sha1").update(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
      if (answer.headers["sec-websocket-accept"] !== wanted) return socket.destroy(this.#end());
      this.#socket = socket;
      this.readyState = WebSocket.OPEN;
      socket.setNoDelay(true);
      socket.on("error", () => {});  // "close" comes behind it
      socket.on("close", () => this.#end());
      socket.on("end", () => socket.end());
      socket.on("data", (data) => this.#take(data));
      this.onopen?.();
      this.#take(first);
    });
  }

  get bufferedAmount() { return this.#socket?.writableLength ?? 0; }

  send(data) {
    if (this.readyState !== WebSocket.OPEN) return;
    this.#write(typeof data === "string" ? TEXT : BINARY, Buffer.from(data));
  }

  close() {
    if (this.readyState === WebSocket.OPEN) this.#write(CLOSE, Buffer.from([1000 >> 8, 1000 & 255]));
  }

  #write(kind, data) {
    const size = data.length, more = size < 126 ? 0 : size < 65536 ? 2 : 8;
    const head = Buffer.alloc(2 + more);
    head[0] = 0x80 | kind;
    head[1] = 0x80 | (more === 0 ? size : more === 2 ? 126 : 127);
    if (more === 2) head.writeUInt16BE(size, 2);
    if (more === 8) head.writeBigUInt64BE(BigInt(size), 2);
    const mask = randomBytes(4), masked = Buffer.from(data);
    for (let i = 0; i < size; i++) masked[i] ^= mask[i & 3];
    if (this.#socket.writable) this.#socket.write(Buffer.concat([head, mask, masked]));
  }

  #take(data) {
    this.#buffer = Buffer.concat([this.#buffer, data]);
    while (this.#buffer.length >= 2 && this.readyState === WebSocket.OPEN) {
      const [first, second] = this.#buffer;
      const told = second & 127, more = told < 126 ? 0 : told === 126 ? 2 : 8, begin = 2 + more;
      if (this.#buffer.length < begin) return;
      const size = more === 0 ? told : more === 2 ? this.#buffer.readUInt16BE(2) : Number(this.#buffer.readBigUInt64BE(2));
      const isControl = first & 8, isWrong = isControl && (size > 125 || !(first & 0x80));
      const held = this.#parts.reduce((sum, one) => sum + one.length, size);
      if ((first & 0x70) || (second & 0x80) || isWrong || held > MAX_BYTES) return this.#socket.destroy();
      if (this.#buffer.length < begin + size) return;
      const body = this.#buffer.subarray(begin, begin + size);
      this.#buffer = this.#buffer.subarray(begin + size);
      this.#frame(first, body);
    }
  }

  #frame(first, body) {
    const kind = first & 15;
    if (kind === PING) return this.#write(PONG, body);
    if (kind === CLOSE) {
      if (body.length >= 2) this.#code = body.readUInt16BE(0);
      this.#reason = body.subarray(2).toString();
      this.#write(CLOSE, body.subarray(0, 2));
      this.readyState = WebSocket.CLOSED;
      setTimeout(() => this.#socket?.destroy(), 2000).unref();
      return this.#socket.end();
    }
    if (kind !== TEXT && kind !== CONTINUED) return;  // the server sends texts, and pongs
    this.#parts.push(body);
    if (first & 0x80) this.onmessage?.({ data: Buffer.concat(this.#parts.splice(0)).toString() });
  }

  #end() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.readyState = WebSocket.CLOSED;
    this.onclose?.({ code: this.#code, reason: this.#reason });
  }
}
