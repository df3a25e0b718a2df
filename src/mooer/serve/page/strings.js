// What the page says, in English and Chinese. `say(key, values)` puts {names} into a sentence.

const STRINGS = {
  en: {
    skip: "Skip to the transcript", theme: "Dark", light: "Light", keys: "Keys", source: "Sound",
    drop: "Drop a recording or a video here", choose: "Choose a file", talk: "Talk", stop: "Stop",
    model: "Model", language: "Spoken", to: "Translate into", labels: "Emotions and sounds",
    speakers: "Speakers (files)", itn: "Numbers in digits", key: "API key", player: "Player",
    transcript: "Transcript", copy: "Copy", save: "Save the sound", close: "Close",
    empty: "What is said appears here. Nothing leaves the server that this page came from.",
    key_o: "Choose a file", key_r: "Talk, or stop", key_space: "Play, or pause",
    key_seek: "5 seconds back, or on", key_sentence: "Sentence before, or next", key_help: "These keys",
    auto: "Find out", none: "No translation", waveform: "Position in the sound",
    sending: "Sending {name} …", hearing: "Hearing {name}: {time} so far", done: "Done: {num} sentences in {time}.",
    opening: "Opening the microphone …", loading: "The model is being made ready …",
    listening: "Listening. {time}", ending: "The last words …", stopped: "Stopped.",
    nothing: "No speech was found.", copied: "Copied.", behind: "The server is {time} behind.",
    need_key: "This server wants an API key: put it into the field and try again.",
    unreachable: "The server cannot be reached: is it still running?",
    cut: "The connection was lost: what was said so far stays here. Press Talk to go on.",
    no_secure: "The microphone needs https, or an address of this machine itself (http://localhost:{port}). Browsers give no microphone to pages over plain http. Either start the server with a certificate (mooer serve --tls CERTIFICATE KEY), or reach it by a tunnel: ssh -L {port}:localhost:{port} {host}. Files work as they are.",
    no_permission: "The browser refused the microphone: allow it beside the address, then press Talk again.",
    no_device: "No microphone was found: plug one in, then press Talk again.",
    no_worklet: "This browser is too old to record here: take a newer one, or choose a file.",
    shown_time: "Go to {time}", words_unsure: "The recogniser is not sure of this word",
  },
  zh: {
    skip: "跳到文字", theme: "深色", light: "浅色", keys: "快捷键", source: "声音",
    drop: "把录音或视频拖到这里", choose: "选择文件", talk: "说话", stop: "停止",
    model: "模型", language: "所说语言", to: "翻译成", labels: "情感与声音事件",
    speakers: "区分说话人（文件）", itn: "数字写成阿拉伯数字", key: "API 密钥", player: "播放器",
    transcript: "文字", copy: "复制", save: "保存声音", close: "关闭",
    empty: "说的话会出现在这里。声音和文字只到提供本页面的服务器。",
    key_o: "选择文件", key_r: "说话或停止", key_space: "播放或暂停",
    key_seek: "后退或前进 5 秒", key_sentence: "上一句或下一句", key_help: "显示快捷键",
    auto: "自动判断", none: "不翻译", waveform: "声音中的位置",
    sending: "正在上传 {name} …", hearing: "正在识别 {name}：已到 {time}", done: "完成：{time}，共 {num} 句。",
    opening: "正在打开麦克风 …", loading: "正在准备模型 …",
    listening: "正在听。{time}", ending: "正在识别最后的话 …", stopped: "已停止。",
    nothing: "没有听到人说话。", copied: "已复制。", behind: "服务器落后 {time}。",
    need_key: "此服务器需要 API 密钥：请填入后重试。",
    unreachable: "连不上服务器：它还在运行吗？",
    cut: "连接断了：已识别的文字还在。按“说话”可以继续。",
    no_secure: "使用麦克风需要 https，或本机地址（http://localhost:{port}）。浏览器不会把麦克风交给普通 http 页面。可以用证书启动服务器（mooer serve --tls 证书 密钥），或者用隧道访问：ssh -L {port}:localhost:{port} {host}。选择文件不受影响。",
    no_permission: "浏览器拒绝了麦克风：请在地址栏旁允许，然后再按“说话”。",
    no_device: "没有找到麦克风：接好后再按“说话”。",
    no_worklet: "这个浏览器太旧，不能录音：请换新版本，或者选择文件。",
    shown_time: "跳到 {time}", words_unsure: "识别器对这个词没有把握",
  },
};

// Names of languages come from the browser itself.
export const SPOKEN = ["zh", "en", "yue", "ja", "ko", "de", "fr", "es", "pt", "it", "ru", "ar", "hi", "vi", "th", "id", "tr", "nl", "pl", "sv"];
export const INTO = ["en", "zh"];

let current = "en";

export function language() { return current; }

export function say(key, values = {}) {
  const text = STRINGS[current][key] ?? STRINGS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export function nameOf(code) {
  try { return new Intl.DisplayNames([current], { type: "language" }).of(code) ?? code; } catch { return code; }
}

export function speak(code) {
  current = code in STRINGS ? code : "en";
  document.documentElement.lang = current === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
}

// The same of a label: emotions and events have names in lower case with underscores.
const LABELS_ZH = {
  happy: "高兴", sad: "悲伤", angry: "生气", neutral: "平静", fearful: "害怕", disgusted: "厌恶", surprised: "惊讶",
  female: "女声", male: "男声", child: "儿童", adult: "成人", old: "老人", laughter: "笑声", applause: "掌声",
  music: "音乐", cough: "咳嗽", sneeze: "喷嚏", cry: "哭声", breath: "呼吸", noise: "噪声",
};

export function labelOf(name) {
  const plain = name.replaceAll("_", " ");
  return current === "zh" ? LABELS_ZH[name] ?? plain : plain;
}
