// The inspector: a strip of the frames that the block on show saw, at their temporal coordinates, with attention mass.
//
// A mark stands before a coordinate that does not follow the one before it, as behind a RoPE Cut; frames that a KV Flush
// dropped are crossed out. While it is off, the server measures and sends nothing for it.

import { toast } from "./screen.js";

const FULL_BAR = 0.5; // attention mass at which a bar has its full height
const element = id => document.getElementById(id);

/** Return a block's strip with the bitmap of its thumbnails, which lie side by side; null where there is none. */
export async function readStrip(strip, jpeg) {
  if (!strip) return null;
  const sheet = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" })).catch(() => null);
  return { ...strip, sheet };
}

export class Inspector {
  isOn = false;
  #ask;
  #block = null; // on show
  #late = null; // {seq, strip}: of a block that was sent before the server was asked

  /** @param {(on: boolean) => Promise} ask Sends the command; rejects with the reason of a refusal. */
  constructor(ask) {
    this.#ask = ask;
  }

  toggle() {
    this.isOn = !this.isOn;
    document.documentElement.classList.toggle("inspecting", this.isOn);
    element("inspector").hidden = !this.isOn;
    element("inspect").setAttribute("aria-pressed", String(this.isOn));
    this.#send();
    this.#draw();
  }

  /** Ask on a new connection for what was asked on the one before. */
  askAgain() {
    if (this.isOn) this.#send();
  }

  /** Show what a block saw that has just begun to be shown. */
  show(block) {
    this.#block = block;
    this.#draw();
  }

  /** Take what a block saw that came before. */
  async takeLate({ seq, strip }, jpeg) {
    const late = { seq, strip: await readStrip(strip, jpeg) };
    this.#late?.strip.sheet?.close();
    this.#late = late;
    if (this.#block?.seq === seq) this.#draw();
  }

  #send() {
    this.#ask(this.isOn).catch(refusal => this.isOn && toast(refusal.message, true));
  }

  #draw() {
    if (!this.isOn || this.#block === null) return;
    const { seq, info, strip } = this.#block;
    const known = strip ?? (this.#late?.seq === seq ? this.#late.strip : null);
    const cells = known?.cells ?? [];
    const isMeasured = cells.some(cell => cell.mass !== null);
    element("inspected").textContent = `block ${info.block}`;
    const transition = element("inspected-transition");
    transition.textContent = transition.dataset.transition = info.transition;
    element("inspected-ideas").textContent = ideasOf(info, cells).join(" · ");
    element("inspector-note").textContent = noteOn(cells, isMeasured);
    const list = element("cells");
    list.style.gridTemplateColumns = cells.map(({ jump }) => (jump ? "18px var(--cell)" : "var(--cell)")).join(" ");
    list.style.setProperty("--equal", `${barHeight(1 / cells.filter(cell => cell.coordinate !== null).length)}%`);
    list.replaceChildren(...cells.flatMap((cell, index) => {
      const caption = cell.kind === cells[index - 1]?.kind ? "" : captionOf(cell, info);
      return [...(cell.jump ? [jumpMark()] : []), cellNode(cell, caption, known)];
    }));
  }
}

/** The paper's ideas that a block shows. */
function ideasOf(info, cells) {
  const cut = info.transition === "cut" ? ["RoPE Cut"] : [];
  return cells.some(cell => cell.kind === "dropped") ? [...cut, "KV Flush"] : cut;
}

function noteOn(cells, isMeasured) {
  if (!cells.length) return "What this block saw is not known.";
  return isMeasured ? "" : "Attention was not measured for this block.";
}

function barHeight(mass) {
  return Math.min(100, (100 * mass) / FULL_BAR);
}

function captionOf({ kind }, info) {
  return kind === "block" ? `block ${info.block}, its own frames` : kind;
}

/** The mark between two coordinates that do not follow each other. */
function jumpMark() {
  const mark = Object.assign(make("span", "//"), { className: "jump" });
  mark.setAttribute("aria-hidden", "true");
  return mark;
}

/** One frame: a caption where a kind begins, its picture with its id, its coordinate, and its mass. */
function cellNode(cell, caption, strip) {
  const { frame, kind, coordinate, mass, jump } = cell;
  const node = Object.assign(document.createElement("div"), { className: "cell" });
  node.setAttribute("role", "listitem");
  node.setAttribute("aria-label", labelOf(cell));
  Object.assign(node.dataset, { frame, kind, coordinate: coordinate ?? "", mass: mass ?? "" });
  node.classList.toggle("jumped", jump);
  const picture = make("figure", "");
  picture.append(thumbnail(frame, strip), make("span", frame < 0 ? "" : String(frame)));
  const bar = make("i", "");
  if (mass !== null) bar.style.setProperty("--mass", `${barHeight(mass)}%`);
  bar.hidden = mass === null;
  node.append(
    make("b", caption),
    picture,
    make("code", coordinate === null ? "" : String(coordinate)),
    bar,
    make("small", mass === null ? "" : `${(100 * mass).toFixed(0)} %`),
  );
  for (const part of node.children) part.setAttribute("aria-hidden", "true");
  return node;
}

/** The picture of a frame; empty where the server has none, or the block is on show no longer and its bitmap closed. */
function thumbnail(frame, { thumbnails, sheet }) {
  const canvas = document.createElement("canvas");
  const index = thumbnails.indexOf(frame);
  const isOpen = sheet !== null && sheet.width > 0;
  const width = isOpen ? Math.floor(sheet.width / thumbnails.length) : 160;
  Object.assign(canvas, { width, height: isOpen ? sheet.height : 96 });
  if (isOpen && index >= 0) canvas.getContext("2d").drawImage(sheet, -index * width, 0);
  return canvas;
}

function labelOf({ frame, kind, coordinate, mass }) {
  const place = coordinate === null ? "" : `, coordinate ${coordinate}`;
  const share = mass === null ? "" : `, attention mass ${(100 * mass).toFixed(0)} %`;
  return `${frame < 0 ? "memory token" : `frame ${frame}`}, ${kind}${place}${share}`;
}

function make(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}
