// The sound and its waveform, drawn from the loudest sample of each short stretch.

const PEAK_S = 0.1;
const MAX_DECODED_BYTES = 60 << 20;  // a larger or longer file is played, and not drawn: all of it …
const MAX_DECODED_S = 5400;  // … would have to be in memory at once
const DRAWN_HZ = 8000;
const BAR_PX = 4, GAP_PX = 1.5;
const SPEEDS = [1, 1.25, 1.5, 2, 0.75];

export class Player {
  // `on` has `time(seconds)` and `change()`: whether it plays, or can be played.
  constructor(canvas, audio, on) {
    this.canvas = canvas;
    this.audio = audio;
    this.on = on;
    this.colours = new Map();
    this.reset();
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.seek((event.offsetX / canvas.clientWidth) * this.duration));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.seek((event.offsetX / canvas.clientWidth) * this.duration);
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 5, ArrowLeft: -5, Home: -1e9, End: 1e9 }[event.key];
      if (step !== undefined) { this.seek(this.time + step); event.preventDefault(); event.stopPropagation(); }
    });
    for (const name of ["play", "seeked", "loadedmetadata", "pause", "ended"]) {
      audio.addEventListener(name, () => { this.follow(); on.change(); });
    }
    audio.addEventListener("error", () => { 
      if (!audio.getAttribute("src")) return;
      this.isReady = false;
      this.isBroken = true;
      on.change();
    });
  }

  reset() {
    this.peaks = [];
    this.spans = [];
    this.heard = Infinity;  // seconds that the server has told of
    this.isReady = false;
    this.isBroken = false;  // the browser cannot play it
    this.address = "";
    this.bars = null;
  }

  get isPlaying() { return this.isReady && !this.audio.paused; }

  get time() { return this.isReady ? this.audio.currentTime : 0; }

  get duration() {
    const known = this.audio.duration;
    return this.isReady && Number.isFinite(known) && known > 0 ? known : this.peaks.length * PEAK_S;
  }

  clear() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    if (this.address) URL.revokeObjectURL(this.address);
    this.reset();
    this.on.change();
    this.draw();
  }

  load(blob) {
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = URL.createObjectURL(blob);
    this.isReady = true;
    this.audio.src = this.address;
    this.on.change();
    this.draw();
  }

  // A file: it can be played at once, and is drawn when it is decoded, if the browser can.
  async open(file) {
    this.clear();
    const known = new Promise((resolve) => {
      for (const name of ["loadedmetadata", "error"]) this.audio.addEventListener(name, resolve, { once: true });
    });
    this.load(file);
    await known;
    const { address } = this;
    if (!this.isReady || file.size > MAX_DECODED_BYTES || this.audio.duration > MAX_DECODED_S) return;
    try {
      const context = new OfflineAudioContext(1, 1, DRAWN_HZ);
      const sound = await context.decodeAudioData(await file.arrayBuffer());
      if (this.address !== address) return;  // another was opened
      const samples = sound.getChannelData(0);
      const size = Math.round(sound.sampleRate * PEAK_S);
      this.peaks = Array.from({ length: Math.ceil(samples.length / size) }, (_, i) =>
        peak(samples.subarray(i * size, (i + 1) * size)));
      this.bars = null;
      this.draw();
    } catch { /* it is played without being drawn */ }
  }

  // A tenth of a second from the microphone.
  push(block) {
    this.peaks.push(peak(block) / 32768);
    this.draw();
  }

  // Whose stretches are which: [{start_s, end_s, colour}], in order of time.
  paint(spans) {
    this.spans = spans;
    this.draw();
  }

  // How much the server has told of; Infinity when it is all.
  reach(seconds) {
    this.heard = seconds;
    this.draw();
  }

  recolour() {
    this.colours.clear();
    this.draw();
  }

  seek(time) {
    if (!this.isReady) return;
    const most = this.duration ? this.duration - 0.01 : Infinity;  // it is not known at once
    this.audio.currentTime = Math.max(0, Math.min(most, time));
    this.follow();
  }

  toggle() {
    if (!this.isReady) return;
    if (this.audio.paused) this.audio.play().catch(() => { /* the event `error` tells */ });
    else this.audio.pause();
  }

  // The next speed, which is given back.
  faster() {
    const speed = SPEEDS[(SPEEDS.indexOf(this.audio.playbackRate) + 1) % SPEEDS.length];
    this.audio.defaultPlaybackRate = this.audio.playbackRate = speed;
    return speed;
  }

  follow() {
    this.on.time(this.time);
    this.draw();
    if (!this.isPlaying || this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.follow(); });
  }

  draw() {
    const { canvas } = this;
    const scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (!width) return;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const { duration, time } = this;
    const step = BAR_PX * scale, num = Math.floor(width / step);
    const sizes = this.sizes(num);
    let at = 0;
    for (let i = 0; i < num; i++) {
      const seconds = ((i + 0.5) / num) * duration;
      while (at < this.spans.length && this.spans[at].end_s < seconds) at++;
      const own = this.spans[at]?.start_s <= seconds ? this.spans[at].colour : "";
      const isPlayed = this.isReady && seconds < time;
      pen.globalAlpha = isPlayed || !own ? 1 : 0.55;
      pen.fillStyle = this.colour(own || (isPlayed ? "--mark" : seconds > this.heard ? "--faint" : "--soft"));
      const size = Math.max(1.5 * scale, 0.88 * height * (sizes[i] ?? 0));
      pen.beginPath();
      pen.roundRect(i * step, (height - size) / 2, step - GAP_PX * scale, size, scale);
      pen.fill();
    }
    if (this.isReady && duration && time) {
      pen.globalAlpha = 1;
      pen.fillStyle = this.colour("--ink");
      pen.fillRect(Math.min(width - 2 * scale, (time / duration) * width), 0, 2 * scale, height);
    }
    canvas.setAttribute("aria-valuemax", duration.toFixed(1));
    canvas.setAttribute("aria-valuenow", time.toFixed(1));
  }

  // Heights of bars, 0 to 1: of a recording all of it, of a microphone what came last.
  sizes(num) {
    const { peaks } = this;
    if (!this.isReady) {
      const last = peaks.slice(-num);
      const loudest = Math.max(0.1, peak(last));
      return [...Array(num - last.length).fill(0), ...last.map((one) => one / loudest)];
    }
    if (this.bars?.length === num) return this.bars;
    const loudest = Math.max(0.05, peak(peaks));
    this.bars = Array.from({ length: num }, (_, i) => {
      const from = Math.floor((i * peaks.length) / num), to = Math.max(from + 1, Math.floor(((i + 1) * peaks.length) / num));
      return peak(peaks.slice(from, to)) / loudest;
    });
    return this.bars;
  }

  // What a variable of the style is now: the canvas knows no variables.
  colour(name) {
    if (!this.colours.has(name)) {
      this.canvas.style.color = `var(${name})`;
      this.colours.set(name, getComputedStyle(this.canvas).color);
    }
    return this.colours.get(name);
  }
}

function peak(samples) {
  let most = 0;
  for (const one of samples) most = Math.max(most, Math.abs(one));
  return most;
}
