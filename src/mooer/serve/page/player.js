// The sound and its waveform, drawn from the loudest sample of each short stretch.

const PEAK_S = 0.1;
const MAX_DECODED_BYTES = 60 << 20;  // a larger file is played, and not drawn: it would fill the memory

export class Player {
  constructor(canvas, audio, onTime) {
    this.canvas = canvas;
    this.audio = audio;
    this.onTime = onTime;
    this.peaks = [];
    this.address = "";
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.seek((event.offsetX / canvas.clientWidth) * this.duration));
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 5, ArrowLeft: -5, Home: -1e9, End: 1e9 }[event.key];
      if (step !== undefined) { this.seek(this.time + step); event.preventDefault(); event.stopPropagation(); }
    });
    for (const name of ["play", "seeked", "loadedmetadata", "pause"]) audio.addEventListener(name, () => this.follow());
  }

  get time() { return this.audio.hidden ? 0 : this.audio.currentTime; }

  get duration() {
    const known = this.audio.duration;
    return Number.isFinite(known) && known > 0 && !this.audio.hidden ? known : this.peaks.length * PEAK_S;
  }

  clear() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.hidden = true;
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = "";
    this.peaks = [];
    this.draw();
  }

  load(blob) {
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = URL.createObjectURL(blob);
    this.audio.src = this.address;
    this.audio.hidden = false;
  }

  // A file: played at once, drawn when it is decoded, if the browser can.
  async open(file) {
    this.clear();
    this.load(file);
    if (file.size > MAX_DECODED_BYTES) return;
    try {
      const context = new OfflineAudioContext(1, 1, 16000);
      const sound = await context.decodeAudioData(await file.arrayBuffer());
      const samples = sound.getChannelData(0);
      const size = Math.round(sound.sampleRate * PEAK_S);
      this.peaks = Array.from({ length: Math.ceil(samples.length / size) }, (_, i) =>
        peak(samples.subarray(i * size, (i + 1) * size)));
      this.draw();
    } catch { /* the server may know a format that the browser does not */ }
  }

  // A tenth of a second from the microphone.
  push(block) {
    this.peaks.push(peak(block) / 32768);
    this.draw();
  }

  seek(time) {
    if (this.audio.hidden) return;
    this.audio.currentTime = Math.max(0, Math.min(this.duration - 0.01, time));
    this.follow();
  }

  toggle() {
    if (this.audio.hidden) return;
    if (this.audio.paused) this.audio.play(); else this.audio.pause();
  }

  follow() {
    this.onTime(this.time);
    this.draw();
    if (this.audio.paused || this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.follow(); });
  }

  draw() {
    const { canvas, peaks } = this;
    const scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (!width) return;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const pen = canvas.getContext("2d");
    const colours = getComputedStyle(document.documentElement);
    pen.clearRect(0, 0, width, height);
    const bars = Math.floor(width / (3 * scale));
    const at = this.duration ? this.time / this.duration : 0;
    const loudest = Math.max(0.05, peaks.reduce((most, one) => Math.max(most, one), 0));
    for (let i = 0; i < bars && peaks.length; i++) {
      const from = Math.floor((i * peaks.length) / bars), to = Math.max(from + 1, Math.floor(((i + 1) * peaks.length) / bars));
      const size = Math.max(scale, (0.92 * height * peak(peaks.slice(from, to))) / loudest);
      pen.fillStyle = colours.getPropertyValue(i / bars < at ? "--mark" : "--soft");
      pen.fillRect(i * 3 * scale, (height - size) / 2, 2 * scale, size);
    }
    canvas.setAttribute("aria-valuemax", this.duration.toFixed(1));
    canvas.setAttribute("aria-valuenow", this.time.toFixed(1));
  }
}

function peak(samples) {
  let most = 0;
  for (const one of samples) most = Math.max(most, Math.abs(one));
  return most;
}
