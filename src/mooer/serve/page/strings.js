// What the page says, in English and Chinese. `say(key, values)` puts {names} into a sentence.

const STRINGS = {
  en: {
    skip: "Skip to the transcript", dark: "Dark", light: "Light", keys: "Keys", source: "Sound",
    drop: "or drop a recording or a video here", choose: "Choose a file", dictate: "Dictate", talk: "Talk", stop: "Stop",
    conversation: "Conversation", interrupt: "Interrupt", type: "Type instead of speaking", send: "Send",
    you: "You", agent: "Agent", sources: "Sources", unheard: "This was not heard any more",
    state_opening: "Opening …", state_listening: "Listening", state_thinking: "Thinking", state_speaking: "Speaking",
    answered_in: "Answered in {time}", waterfall: "From the end of what was said to the answer: {time}",
    stage_speech_end: "end of speech", stage_vad: "silence is noticed", stage_turn: "turn is over", stage_asr_final: "words are known",
    stage_retrieval: "sources are found", stage_first_token: "first word", stage_first_clause: "first clause",
    stage_first_audio: "first sound", stage_played: "it is heard",
    talk_over: "The conversation is over: what was said stays here.", wait_agent: "The agent is being made ready …",
    talk_typed: "You can type what you want to say.",
    model: "Model", language: "Language spoken", to: "Translate into", labels: "Emotions and sounds",
    speakers: "Speakers (of files)", itn: "Numbers in digits",
    aloud: "Speak the translation (dictating, with headphones)", unsaid: "A translation came too late to be spoken.", player: "Player", play: "Play", pause: "Pause",
    speed: "Speed", transcript: "Transcript", exports: "Save as", copy: "Copy", save: "Save the sound", close: "Close",
    progress: "Progress", speaker: "Speaker {number}",
    empty: "What is said appears here. Nothing leaves the server that this page came from.",
    key_o: "Choose a file", key_r: "Dictate, or stop", key_t: "Talk, or stop", key_interrupt: "Interrupt what is spoken", key_space: "Play, or pause",
    key_seek: "5 seconds back, or on", key_sentence: "Sentence before, or next", key_help: "These keys",
    auto: "Detect it", none: "No translation", waveform: "Position in the sound", of: "{time} of {whole}",
    sending: "Sending {name} …", hearing: "Listening to {name} …",
    whole: "Listening to all of {name}: who speaks is known at the end …",
    done: "Done: {num} sentences in {time}.", done_one: "Done: one sentence in {time}.",
    opening: "Opening the microphone …", loading: "The model is being made ready; you can talk already …",
    listening: "Listening.", ending: "The last words …", stopped: "Stopped: what was heard so far stays here.",
    nothing: "No speech was found.", copied: "Copied.", behind: "The server is {time} behind: a smaller model is quicker.",
    busy: "One at a time: stop what runs first.", no_copy: "The browser does not let the page copy: save it as txt.",
    mute: "This browser cannot play the file: the transcript comes all the same.",
    need_key: "This server asks for an API key.", wrong_key: "The server does not know this key.",
    use_key: "Go on", key_note: "Who runs the server gives it out. It is forgotten when this tab is closed.",
    unreachable: "The server cannot be reached: is it still running?",
    refused: "The server took only a part of the file and closed: it may be larger than is taken here. Try a compressed format such as mp3 or opus, or a shorter part.",
    cut: "The connection was lost: what was said so far stays here. Press the button to go on.",
    no_secure: "The microphone needs https, or a page of this machine itself (http://localhost:{port}): browsers give none to pages over plain http. Start the server with a certificate (mooer serve --tls cert.pem key.pem), or reach it through a tunnel: ssh -L {port}:localhost:{port} {host}. Files work as they are.",
    no_permission: "The browser refused the microphone: allow it beside the address, then press the button again.",
    no_device: "No microphone was found: plug one in, then press the button again.",
    no_worklet: "This browser is too old to record here: take a newer one, or choose a file.",
    shown_time: "Go to {time}", words_unsure: "The recogniser is not sure of this word",
  },
  zh: {
    skip: "跳到文字", dark: "深色", light: "浅色", keys: "快捷键", source: "声音",
    drop: "也可以把录音或视频拖到这里", choose: "选择文件", dictate: "听写", talk: "对话", stop: "停止",
    conversation: "对话", interrupt: "打断", type: "不说话，打字也可以", send: "发送",
    you: "你", agent: "助手", sources: "来源", unheard: "这些没有被听到",
    state_opening: "正在打开 …", state_listening: "在听", state_thinking: "在想", state_speaking: "在说",
    answered_in: "{time} 后回答", waterfall: "从话音结束到回答：{time}",
    stage_speech_end: "话音结束", stage_vad: "发现安静", stage_turn: "判断说完", stage_asr_final: "识别出文字",
    stage_retrieval: "查到资料", stage_first_token: "第一个词", stage_first_clause: "第一个分句",
    stage_first_audio: "第一段声音", stage_played: "开始听到",
    talk_over: "对话已结束：说过的话还在这里。", wait_agent: "正在准备助手 …",
    talk_typed: "可以打字。",
    model: "模型", language: "所说语言", to: "翻译成", labels: "情感与声音事件",
    speakers: "区分说话人（仅文件）", itn: "用阿拉伯数字",
    aloud: "朗读译文（听写时，请戴耳机）", unsaid: "有一句译文来得太迟，没有朗读。", player: "播放器", play: "播放", pause: "暂停",
    speed: "速度", transcript: "文字", exports: "保存为", copy: "复制", save: "保存声音", close: "关闭",
    progress: "进度", speaker: "说话人 {number}",
    empty: "说的话会出现在这里。声音和文字只到提供本页面的服务器。",
    key_o: "选择文件", key_r: "听写或停止", key_t: "对话或停止", key_interrupt: "打断正在播放的声音", key_space: "播放或暂停",
    key_seek: "后退或前进 5 秒", key_sentence: "上一句或下一句", key_help: "显示快捷键",
    auto: "自动判断", none: "不翻译", waveform: "声音中的位置", of: "{time}，共 {whole}",
    sending: "正在上传 {name} …", hearing: "正在识别 {name} …",
    whole: "正在听完整个 {name}：听完才能知道谁在说话 …",
    done: "完成：{time}，共 {num} 句。", done_one: "完成：{time}，共一句。",
    opening: "正在打开麦克风 …", loading: "正在准备模型，现在就可以说话 …",
    listening: "正在听。", ending: "正在识别最后的话 …", stopped: "已停止：已识别的文字还在。",
    nothing: "没有听到人说话。", copied: "已复制。", behind: "服务器落后 {time}：换小一些的模型会更快。",
    busy: "一次只能处理一个：请先停止正在进行的。", no_copy: "浏览器不让页面复制：请保存为 txt。",
    mute: "这个浏览器不能播放此文件，但仍会给出文字。",
    need_key: "此服务器需要 API 密钥。", wrong_key: "服务器不认识这个密钥。",
    use_key: "继续", key_note: "密钥由服务器的管理者发放。关闭此标签页后即被忘记。",
    unreachable: "连不上服务器：它还在运行吗？",
    refused: "服务器只接收了文件的一部分就断开了：文件可能太大。请换成 mp3 或 opus 等压缩格式，或截短一些。",
    cut: "连接断了：说过的话还在这里。再按按钮可以继续。",
    no_secure: "使用麦克风需要 https，或本机页面（http://localhost:{port}）：浏览器不会把麦克风交给普通 http 页面。可以用证书启动服务器（mooer serve --tls cert.pem key.pem），或者用隧道访问：ssh -L {port}:localhost:{port} {host}。选择文件不受影响。",
    no_permission: "浏览器拒绝了麦克风：请在地址栏旁允许，然后再按一次按钮。",
    no_device: "没有找到麦克风：接好后再按一次按钮。",
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

// Emotions and events have names in lower case with underscores.
const LABELS_ZH = {
  happy: "高兴", sad: "悲伤", angry: "生气", neutral: "平静", fearful: "害怕", disgusted: "厌恶", surprised: "惊讶",
  female: "女声", male: "男声", child: "儿童", adult: "成人", old: "老人", laughter: "笑声", applause: "掌声",
  music: "音乐", speech: "人声", cough: "咳嗽", sneeze: "喷嚏", cry: "哭声", breath: "呼吸",
};
const ICONS = {
  happy: "😊", sad: "😔", angry: "😠", fearful: "😨", disgusted: "😖", surprised: "😮",
  laughter: "😄", applause: "👏", music: "🎵", cough: "😷", sneeze: "🤧", cry: "😢", breath: "💨",
};

export function labelOf(name) {
  const plain = name.replaceAll("_", " ");
  return current === "zh" ? LABELS_ZH[name] ?? plain : plain;
}

export function iconOf(name) { return ICONS[name] ? `${ICONS[name]} ` : ""; }

// Speakers are S1, S2 …, or have names.
export function speakerOf(name) {
  const number = /^S(\d+)$/.exec(name)?.[1];
  return number ? say("speaker", { number }) : name;
}
