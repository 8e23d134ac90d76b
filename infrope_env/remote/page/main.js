// The page: finds out where the server is, and joins buttons, keys, the prompt line and pictures to a session.

import { keyLabel } from "./controls.js";
import { readableEncodings } from "./decoder.js";
import { PromptLine } from "./prompt_line.js";
import { toast } from "./screen.js";
import { Session } from "./session.js";

const LAST_SECONDS = 10;
const MOST_PRESETS = 5;
const SYNONYMS = ["return", "period", "break", "pause"]; // further names of the keys Enter, "." and Pause
const element = id => document.getElementById(id);
const query = new URLSearchParams(location.search);

/** Return the address of something on the server, with the token. */
function address(path, more = {}) {
  const url = new URL(path, new URL(".", location.href));
  url.search = new URLSearchParams({ token: query.get("token") ?? "", ...more });
  return url;
}

function socketAddress() {
  const url = address("ws");
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

const watch = query.get("watch");
const role = watch === null ? "player" : "viewer";
const hello = { role, rollout: watch ?? "", encodings: await readableEncodings() };
const session = new Session({ socket: socketAddress(), check: address("check") }, hello, refresh);
const stage = element("screen");
const backToPicture = () => stage.focus({ preventScroll: true });
const prompt = new PromptLine((text, cut, signal) => session.setPrompt(text, cut, signal), backToPicture);
globalThis.infrope = session; // for a look from the console

// Buttons.

const buttons = {
  pause: () => session.pause(),
  step: () => session.step(),
  save: () => session.save(),
  restore: () => session.restore(),
  world: () => session.newWorld(performance.now()),
  clip: () => keepVideo("clip.mp4", { seconds: LAST_SECONDS }),
  recording: () => keepVideo("recording.mp4", {}),
  "open-picture": () => element("picture-file").click(),
  inspect: () => session.inspector.toggle(),
  overlay: toggleOverlay,
  fullscreen: toggleFullscreen,
  help: () => element("keys").showModal(),
  share: showViewerLink,
  retry: () => session.connection.connect(),
};
for (const [id, act] of Object.entries(buttons)) {
  element(id).addEventListener("click", event => {
    act();
    if (event.detail && !document.querySelector("dialog[open]")) backToPicture(); // the keys act on the world again
  });
}

for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("close", backToPicture);

/** Show what the session allows now. */
function refresh() {
  const { mayPlay, state, seat, welcome } = session;
  for (const id of ["pause", "save", "world", "switch", "cut"]) element(id).disabled = !mayPlay;
  prompt.input.disabled = seat !== null && seat.seat !== "player"; // but not while a connection is lost in mid-word
  element("step").disabled = !mayPlay || !state.paused;
  element("restore").disabled = !mayPlay || state.saved === null;
  element("open-picture").disabled = !mayPlay || !welcome?.pictures;
  element("clip").disabled = !session.connection.isOpen;
  element("recording").disabled = !session.connection.isOpen || !welcome?.recording;
  element("recording").title = welcome?.recording === false ? "The server was started without --record" : "";
  element("share").disabled = !seat?.viewer_path;
  const pause = element("pause");
  pause.setAttribute("aria-pressed", String(state.paused));
  pause.querySelector("span").textContent = state.paused ? "Continue" : "Pause";
  pause.querySelector("use").setAttribute("href", state.paused ? "#i-play" : "#i-pause");
  if (welcome && !element("bindings").children.length) describe(welcome);
}

/** Return at most a number of items, evenly spaced. */
function someOf(items, most) {
  const step = Math.max(1, items.length / most);
  return items.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
}

/** Fill in what follows from the welcome: the list of keys, and prompts to try. */
function describe(welcome) {
  const keysOf = ({ keys }) => keys.filter(key => !SYNONYMS.includes(key));
  const rows = [
    ...welcome.buttons.map(({ keys, label }) => [keys, label]),
    ...welcome.commands.filter(({ name }) => name !== "quit").map(command => [keysOf(command), command.effect]),
  ];
  const inspector = welcome.commands.find(({ name }) => name === "inspector");
  element("inspect").hidden = !inspector;
  element("inspect").title = inspector ? [inspector.effect, ...keysOf(inspector).map(key => `(${keyLabel(key)})`)].join(" ") : "";
  element("bindings").replaceChildren(...rows.filter(([keys]) => keys.length).flatMap(([keys, effect]) => {
    const term = document.createElement("dt");
    term.append(...keys.map(key => Object.assign(document.createElement("kbd"), { textContent: keyLabel(key) })));
    return [term, Object.assign(document.createElement("dd"), { textContent: effect })];
  }));
  prompt.offer(someOf(welcome.presets, MOST_PRESETS));
  prompt.limit(welcome.most_prompt_characters);
  document.title = `infrope: ${welcome.env}`;
}

// Keys.

const commands = {
  new_world: event => session.newWorld(event.timeStamp),
  pause: () => session.pause(),
  single_step: () => session.step(),
  save: () => session.save(),
  restore: () => session.restore(),
  rewind: () => session.rewind(),
  type_prompt: () => {
    session.releaseAll();
    prompt.input.focus();
  },
  inspector: () => session.inspector.toggle(),
  overlay: toggleOverlay,
  fullscreen: toggleFullscreen,
};
const FOR_VIEWERS = ["inspector", "overlay", "fullscreen"];

/** Whether a key belongs to what has the focus: a text line, an open dialog, or a button that it presses. */
function belongsElsewhere(event) {
  if (document.querySelector("dialog[open]") || event.target.closest?.("input, textarea")) return true;
  return event.target.closest?.("button, a") && [" ", "Enter"].includes(event.key);
}

addEventListener("keydown", event => {
  if (!session.keys || event.isComposing || belongsElsewhere(event) || session.keys.isChord(event)) return;
  if (event.key === "?") element("keys").showModal();
  const name = session.keys.name(event);
  const command = session.welcome.commands.find(({ keys }) => keys.includes(name))?.name;
  if (!session.keys.isBound(name) || command === "quit") return;
  event.preventDefault();
  if (event.repeat) return;
  if (command && (session.mayPlay || FOR_VIEWERS.includes(command))) commands[command](event);
  if (!command) session.press(session.keys.press(event), event.timeStamp);
});

addEventListener("keyup", event => {
  const name = session.keys?.release(event) ?? null;
  if (name !== null) session.release(name, event.timeStamp);
});

addEventListener("blur", () => session.releaseAll());
document.addEventListener("visibilitychange", () => document.hidden && session.releaseAll());
addEventListener("pagehide", event => event.persisted || session.connection.leave());

function toggleOverlay() {
  const isOff = document.documentElement.classList.toggle("no-overlay");
  element("overlay").setAttribute("aria-pressed", String(!isOff));
}

function toggleFullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else element("stage").requestFullscreen?.().catch(() => toast("The browser does not allow a full screen here.", true));
}

function showViewerLink() {
  const link = new URL(session.seat.viewer_path.replace(/^\//, ""), new URL(".", location.href));
  const field = element("viewer-link");
  field.value = link;
  element("share-dialog").showModal();
  field.select();
}

element("copy").addEventListener("click", async () => {
  const field = element("viewer-link");
  field.select();
  const isCopied = navigator.clipboard
    ? await navigator.clipboard.writeText(field.value).then(() => true, () => false)
    : document.execCommand("copy"); // the clipboard of pages without https
  toast(isCopied ? "Copied." : "Copy the selected link.", !isCopied);
});

// Videos and pictures.

async function keepVideo(path, more) {
  const button = document.querySelector(path === "clip.mp4" ? "#clip" : "#recording");
  button.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(address(path, { rollout: session.seat.rollout, ...more }), { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    const url = URL.createObjectURL(await answer.blob());
    const name = `infrope-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.mp4`;
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  } catch (failure) {
    toast(failure instanceof TypeError ? "The server does not answer." : failure.message, true);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** Begin a world from a picture file; the prompt line, or else what is on show, says what it shows. */
async function startFrom(file) {
  if (!session.mayPlay) return;
  if (!session.welcome.pictures) {
    toast("This model cannot start from a picture.", true);
    return;
  }
  const { subject, scene } = session.shown?.block.info ?? {};
  const text = prompt.input.value.trim();
  try {
    const picture = await pictureBytes(file, session.welcome.most_picture_bytes);
    session.startFrom(picture, text ? { prompt: text } : { subject, scene });
  } catch {
    toast(`The browser cannot read ${file.name} as a picture.`, true);
  }
}

/** Return the bytes of a picture file, as JPEG of at most 2048 pixels if the file is too large or of another kind. */
async function pictureBytes(file, most) {
  const bitmap = await createImageBitmap(file);
  if (file.size <= most && ["image/png", "image/jpeg"].includes(file.type)) return file.arrayBuffer();
  const scale = Math.min(1, 2048 / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return (await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 })).arrayBuffer();
}

element("picture-file").addEventListener("change", event => {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) startFrom(file);
});

const carriesFile = event => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", event => {
  if (!carriesFile(event)) return;
  event.preventDefault();
  document.documentElement.classList.toggle("dropping", session.mayPlay);
});
addEventListener("dragleave", event => event.relatedTarget ?? document.documentElement.classList.remove("dropping"));
addEventListener("drop", event => {
  if (!carriesFile(event)) return;
  event.preventDefault();
  document.documentElement.classList.remove("dropping");
  if (event.dataTransfer.files[0]) startFrom(event.dataTransfer.files[0]);
});

session.connection.connect();
backToPicture();
