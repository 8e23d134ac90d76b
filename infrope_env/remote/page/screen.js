// The picture with its light, and the text over it: prompt in force, transition, rate of frames, receipts.

const RATE_FRAMES = 24; // newest frames over which the rate is measured
const GLOW_RINGS = 5; // outer pixels of the light behind the picture
const LARGEST_PIXEL_ART = 480; // wider frames are smoothed when they are enlarged

const element = id => document.getElementById(id);

export class Screen {
  #picture = element("picture");
  #context = this.#picture.getContext("2d", { alpha: false });
  #glow = element("glow").getContext("2d");
  #shownMs = [];
  #texts = "";

  /** Take the shape of the frames. */
  resize(height, width) {
    Object.assign(this.#picture, { width, height });
    const root = document.documentElement;
    root.style.setProperty("--frame-width", width);
    root.style.setProperty("--frame-height", height);
    root.classList.toggle("pixel-art", width < LARGEST_PIXEL_ART);
  }

  /** Show a frame. */
  draw(bitmap, now) {
    this.#context.drawImage(bitmap, 0, 0, this.#picture.width, this.#picture.height);
    this.#shownMs.push(now);
    if (this.#shownMs.length > RATE_FRAMES) this.#shownMs.shift();
  }

  /** Let the wall behind the picture take its light, which fades out in its outer pixels. */
  shine(bitmap) {
    const glow = this.#glow;
    const { width, height } = glow.canvas;
    glow.clearRect(0, 0, width, height);
    for (let ring = 1; ring <= GLOW_RINGS; ring += 1) {
      glow.globalAlpha = (ring / GLOW_RINGS) ** 2 / 2;
      glow.drawImage(bitmap, ring, ring, width - 2 * ring, height - 2 * ring);
    }
  }

  /** Show what was measured: {latencyMs, rttMs, bufferMs, lost}, null where nothing was. */
  measure({ latencyMs, rttMs, bufferMs, lost }) {
    const fill = (id, value, unit) => {
      const text = value === null ? "–" : value.toFixed(0);
      if (element(id).dataset.value === text) return;
      element(id).dataset.value = text;
      element(id).replaceChildren(text, make("small", value === null ? "" : unit));
    };
    fill("latency", latencyMs, " ms");
    fill("rtt", rttMs, " ms");
    fill("buffer", bufferMs, " ms");
    fill("lost", lost, "");
  }

  get canvas() {
    return this.#picture;
  }

  /** Frames really shown per second. */
  get rate() {
    const passed = this.#shownMs.at(-1) - this.#shownMs[0];
    return passed > 0 ? (1000 * (this.#shownMs.length - 1)) / passed : 0;
  }

  /** Show the facts of the block on show, and the receipts. */
  write(block, receipts, now) {
    const { info } = block;
    const rate = this.#shownMs.length && now - this.#shownMs.at(-1) < 1000 ? this.rate : 0;
    const texts = JSON.stringify([block.seq, rate.toFixed(1), receipts]);
    if (texts === this.#texts) return;
    this.#texts = texts;
    element("caption").hidden = false;
    element("prompt-shown").textContent = info.prompt;
    const transition = element("transition");
    transition.textContent = transition.dataset.transition = info.transition;
    element("facts").replaceChildren(make("b", `block ${info.block}`), `  ${rate.toFixed(1)} fps`);
    this.#writeReceipts(receipts);
  }

  #writeReceipts(receipts) {
    const list = element("receipts");
    const items = new Map([...list.children].map(item => [item.dataset.seq, item]));
    for (const receipt of receipts) {
      const key = String(receipt.seq);
      const item = items.get(key) ?? list.appendChild(make("li", ""));
      items.delete(key);
      item.dataset.seq = key;
      item.classList.toggle("fading", receipt.isFading);
      const answer = receipt.block === null ? "queued" : `block ${receipt.block}`;
      const latency = receipt.latencyMs === null ? "" : `  ${receipt.latencyMs.toFixed(0)} ms`;
      const text = `${receipt.label}|${receipt.name}|${answer}${latency}`;
      if (item.dataset.text === text) continue;
      item.dataset.text = text;
      item.replaceChildren(make("kbd", receipt.label), make("span", receipt.name), make("small", answer + latency));
    }
    for (const item of items.values()) item.remove();
  }
}

/** A curtain over the picture while there is nothing to play, and the state in the bar. */
export function showPhase(phase, { link, title = "", text = "", retry = false }) {
  document.documentElement.dataset.phase = phase;
  element("link-text").textContent = link;
  element("curtain-title").textContent = title;
  element("curtain-text").textContent = text;
  element("retry").hidden = !retry;
}

/** Show a sentence for some seconds. */
export function toast(sentence, isBad = false) {
  const node = make("p", sentence);
  node.className = isBad ? "toast bad" : "toast";
  element("toasts").append(node);
  setTimeout(() => node.remove(), isBad ? 7000 : 3500);
}

function make(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}
