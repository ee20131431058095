// What the page says, in English and Chinese. It knows no elements but those with data-words.

export const WORDS = {
  en: {
    model: "Model", about: "About this model", otherLanguage: "中文", text: "Text",
    keyNeeded: "This server asks for an API key.", keySend: "Use it",
    keyWrong: "That key isn't the one. Try another.",
    placeholder: "Begin a text, or let the model begin…",
    placeholderGaps: "Write a text with gaps, ＿ for each character that is missing…",
    write: "Write on", stop: "Stop", fill: "Fill the gaps", ways: "Three ways", undo: "Undo",
    look: "Alternatives", copy: "Copy", picture: "Picture", none: "None of them", keep: "Keep this",
    predictable: "expected", surprising: "surprising (14 bits and more)", copiedSample: "copied",
    inside: "Inside the network", settings: "Settings", length: "Characters",
    temperature: "Temperature", temperatureNote: "0 always takes the likeliest character.",
    seed: "Seed", newSeed: "a new seed each time", showCopied: "mark what is copied from the training text",
    showInside: "show gates and hidden state", all: "all", document: "The API's document", close: "Close",
    keys: "Ctrl or ⌘ with Enter writes on, Esc stops. Click a character to see what else could stand there; Alt with ↓ does the same at the cursor.",
    loading: "Loading…", writing: "Writing…", reading: "Reading…", filling: "Filling…",
    written: "{count} characters, {bits} bits each on average. Seed {seed}.",
    ended: "Here the model ended the text.",
    stopped: "Stopped.", undone: "Undone.", copied: "Copied.", saved: "The picture was saved.",
    notCopied: "The browser doesn't allow copying; select the text instead.",
    heard: "Written: {text}", kept: "Kept.",
    gone: "The server doesn't answer. Your text is safe here; trying again in {seconds} s.",
    goneNow: "The server doesn't answer. Your text is safe here; trying again…",
    tryNow: "Try now", dismiss: "Dismiss", back: "The server is back.",
    failed: "That didn't work: {message}", busy: "The server is busy. Try again in a moment.",
    full: "The text has reached the length that this server keeps.",
    noModels: "This server has no model.",
    clozeOnly: "This model reads a text from both sides, so it can't write on; it fills gaps. Write ＿ for each missing character.",
    neither: "This model reads a text from both sides, so it can neither write on nor fill gaps here.",
    noGaps: "There is no gap yet: write ＿ for each missing character.",
    couldStand: "What could stand here", instead: "Instead of “{character}”",
    bits: "{bits} bits", endOfText: "end of the text", space: "space", newline: "new line",
    copiedFrom: "Copied: {length} characters, document {document}, line {line}",
    nothingThere: "The cursor is at no character that the model has read.",
    waysLabel: "Three ways to go on", fillingsLabel: "Fillings, the likeliest first",
    way: "Way {number}, seed {seed}", filling: "Filling {number}, {bits} bits",
    stripNote: "A column for each character: gates above (their mean), {units} units of the hidden state below, from −1 to 1.",
    stripLabel: "Gates and hidden state. After “{character}”: {gates}.",
    stripEmpty: "Gates and hidden state, empty yet.",
    network: "Network", layers: "{cell}, {layers} × {hidden}", parameters: "Parameters",
    vocabulary: "Vocabulary", vocabularyOf: "{count} characters", training: "Training text",
    trainingOf: "{characters} characters, {documents} documents",
    heldOut: "Held-out text", split: "Split", perplexity: "Perplexity", bpc: "Bits per character",
    fullReport: "Open the report with its curves", noReport: "This run has no report.",
    pictureOf: "written with {model} · Rondeau",
  },
  zh: {
    model: "模型", about: "模型信息", otherLanguage: "English", text: "文本",
    keyNeeded: "此服务器需要 API 密钥。", keySend: "使用", keyWrong: "密钥不对，请换一个。",
    placeholder: "写个开头，或让模型起头……", placeholderGaps: "写一段带空缺的文字，每个缺字写一个＿……",
    write: "续写", stop: "停止", fill: "填空", ways: "三种续写", undo: "撤销",
    look: "其他可能", copy: "复制", picture: "存为图片", none: "都不要", keep: "选这个",
    predictable: "意料之中", surprising: "意外（14 比特及以上）", copiedSample: "照抄",
    inside: "网络内部", settings: "设置", length: "字数",
    temperature: "温度", temperatureNote: "为 0 时总取最可能的字。",
    seed: "随机种子", newSeed: "每次换新种子", showCopied: "标出照抄训练文本之处",
    showInside: "显示门与隐状态", all: "全部", document: "API 文档", close: "关闭",
    keys: "Ctrl（或 ⌘）加回车续写，Esc 停止。点一个字，看此处还可能是什么字；Alt 加 ↓ 在光标处同样可看。",
    loading: "正在载入……", writing: "正在写……", reading: "正在读……", filling: "正在填……",
    written: "共 {count} 字，平均每字 {bits} 比特。种子 {seed}。",
    ended: "模型在此结束了全文。",
    stopped: "已停止。", undone: "已撤销。", copied: "已复制。", saved: "图片已保存。",
    notCopied: "浏览器不允许复制，请自行选择文本。",
    heard: "写出：{text}", kept: "已选用。",
    gone: "服务器没有响应。文本仍在此处；{seconds} 秒后重试。",
    goneNow: "服务器没有响应。文本仍在此处；正在重试……",
    tryNow: "立即重试", dismiss: "知道了", back: "服务器已恢复。",
    failed: "未能完成：{message}", busy: "服务器正忙，请稍后再试。",
    full: "文本已达到此服务器所保存的长度上限。",
    noModels: "此服务器没有模型。",
    clozeOnly: "此模型从两侧阅读文本，因此不能续写，只能填空。每个缺字写一个＿。",
    neither: "此模型从两侧阅读文本，因此在这里既不能续写，也不能填空。",
    noGaps: "还没有空缺：每个缺字写一个＿。",
    couldStand: "此处可能的字", instead: "替换“{character}”",
    bits: "{bits} 比特", endOfText: "全文结束", space: "空格", newline: "换行",
    copiedFrom: "照抄：{length} 字，第 {document} 篇第 {line} 行",
    nothingThere: "光标处没有模型读过的字。",
    waysLabel: "三种续写", fillingsLabel: "填法，最可能的在前",
    way: "第 {number} 种，种子 {seed}", filling: "填法 {number}，{bits} 比特",
    stripNote: "每字一列：上为各门的平均值，下为 {units} 个隐单元，从 −1 到 1。",
    stripLabel: "门与隐状态。“{character}”之后：{gates}。",
    stripEmpty: "门与隐状态，尚无内容。",
    network: "网络", layers: "{cell}，{layers} × {hidden}", parameters: "参数",
    vocabulary: "词表", vocabularyOf: "{count} 字", training: "训练文本",
    trainingOf: "{characters} 字，{documents} 篇",
    heldOut: "未参与训练的文本", split: "划分", perplexity: "困惑度", bpc: "每字比特",
    fullReport: "打开报告（含曲线）", noReport: "此模型没有报告。",
    pictureOf: "与 {model} 合写 · Rondeau",
  },
};

const KEPT = "rondeau.language";
let language = localStorage.getItem(KEPT) ?? (navigator.language.startsWith("zh") ? "zh" : "en");

/** What is said, with its {names} filled in. */
export function say(name, values = {}) {
  return WORDS[language][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** A number as it is written in this language. */
export function number(value, digits = 0) {
  return value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A character as it can be seen and heard. */
export function visible(character) {
  return { "": say("endOfText"), " ": say("space"), "\n": say("newline") }[character] ?? character;
}

export function switchLanguage() {
  language = language === "en" ? "zh" : "en";
  localStorage.setItem(KEPT, language);
}

/** Put the words into the elements that name them. */
export function dress() {
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-words]")) {
    element.textContent = say(element.dataset.words);
  }
  for (const element of document.querySelectorAll("[data-placeholder]")) {
    element.placeholder = say(element.dataset.placeholder);
  }
}
