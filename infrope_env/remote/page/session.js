// A live session: keys and buttons to the connection, blocks to the screen.

import { Connection } from "./connection.js";
import { Controls, keyLabel } from "./controls.js";
import { makeDecoder } from "./decoder.js";
import { Inspector, readStrip } from "./inspector.js";
import { KeyReader } from "./keys.js";
import { Playback } from "./playback.js";
import { Receipts } from "./receipts.js";
import { Screen, showPhase, toast } from "./screen.js";
import { behind } from "./wire.js";

const LATE_MS = 20; // a picture that was held for less is not seen to be late
const SAME_PRESS_MS = 300; // an Enter this soon after the last one is the same one

export class Session {
  screen = new Screen();
  playback = new Playback();
  receipts = new Receipts();
  inspector = new Inspector(on => this.connection.ask({ type: "inspect", on }));
  shown = null; // {block, index}
  welcome = null;
  state = { paused: false, saved: null, viewers: 0, away: false };
  seat = null; // {seat, place, rollout, viewer_path}
  #held = new Map(); // {count, button} by key that is down: a key may be down twice, by its name and by its place
  #decoding = Promise.resolve();
  #generation = 0; // of the connection: blocks of an earlier one are not shown
  #worldMs = -SAME_PRESS_MS;
  #rttMs = null;
  #lost = 0; // blocks that came too late to be seen in time, or were left out
  #controls = null;
  #decoder = null;

  /** `onChange` is called when seat, state or connection have changed. */
  constructor(address, hello, onChange) {
    this.onChange = onChange;
    this.connection = new Connection(address, hello, {
      phase: (name, sentence) => this.#phase(name, sentence),
      open: welcome => this.#open(welcome),
      message: (header, body) => this.#take(header, body),
    });
    requestAnimationFrame(() => this.#tick());
  }

  get mayPlay() {
    return this.connection.isOpen && this.seat?.seat === "player";
  }

  get mayResume() {
    return this.seat?.seat === "player";
  }

  // Keys and buttons.

  /** A key goes down, or an on-screen button, whose key has the form "action:NAME". */
  press(key, timeMs) {
    const held = this.#held.get(key);
    if (held) {
      held.count += 1;
      return;
    }
    const button = this.#buttonOf(key);
    this.#held.set(key, { count: 1, button });
    const seq = this.mayPlay ? this.connection.key(key, true, timeMs) : null;
    if (seq === null || !button) return;
    const isOnScreen = key === button.key;
    this.receipts.press(seq, isOnScreen ? "●" : keyLabel(key), button.label, timeMs);
    if (!isOnScreen) this.#controls.hold(button.name, true);
  }

  release(key, timeMs) {
    const held = this.#held.get(key);
    if (!held) return;
    held.count -= 1;
    if (held.count) return;
    this.#held.delete(key);
    if (this.mayPlay) this.connection.key(key, false, timeMs);
    if (held.button && key !== held.button.key) this.#controls.hold(held.button.name, false);
  }

  releaseAll() {
    if (this.#held.size && this.mayPlay) this.connection.releaseAll();
    this.#held.clear();
    this.keys?.releaseAll();
    this.#controls?.releaseAll();
  }

  /** The action of a key alone, or of the longest chord that it completes with the keys that are down. */
  #buttonOf(key) {
    const parts = binding => binding.split("+");
    const isDown = part => this.#held.has(part) || part === key;
    const bindings = this.welcome.buttons.flatMap(button =>
      [...button.keys.map(parts), [button.key]].map(keys => ({ button, keys })),
    );
    const complete = bindings.filter(({ keys }) => keys.includes(key) && keys.every(isDown));
    return complete.sort((a, b) => b.keys.length - a.keys.length)[0]?.button ?? null;
  }

  // Commands. Each returns nothing and tells its result, or the reason of a refusal, to the player.

  newWorld(now) {
    const isSamePress = now - this.#worldMs < SAME_PRESS_MS;
    this.#worldMs = now;
    if (!isSamePress) this.command({ type: "new_world" }, () => "A new world.");
  }

  pause(paused = !this.state.paused) {
    this.command({ type: "pause", paused });
  }

  step() {
    if (this.state.paused) this.command({ type: "single_step" });
  }

  save() {
    this.command({ type: "save" }, ({ info }) => `Saved at block ${info.block}.`);
  }

  restore() {
    this.command({ type: "restore" }, ({ info }) => `Back at block ${info.block}.`);
  }

  rewind() {
    this.command({ type: "rewind" }, ({ info }) => `Stepped back to block ${info.block}.`);
  }

  /** Send a prompt and return the promise of its answer; an AbortSignal takes it back. */
  setPrompt(text, cut, signal) {
    return this.connection.ask({ type: "set_prompt", text, cut }, null, signal);
  }

  /** Begin a world from the bytes of a picture file. */
  startFrom(picture, options) {
    this.command({ type: "reset", options }, () => "A new world, from your picture.", picture);
  }

  async command(header, describe = () => "", body = null) {
    try {
      const sentence = describe(await this.connection.ask(header, body));
      if (sentence) toast(sentence);
    } catch (refusal) {
      toast(refusal.message, true);
    }
  }

  // Messages.

  #open(welcome) {
    const isFirst = this.welcome === null;
    this.welcome = welcome;
    this.seat = welcome;
    this.#generation += 1;
    const [, height, width] = welcome.block_shape;
    this.#decoder?.close();
    this.#decoder = makeDecoder(welcome);
    if (isFirst) this.#arrange(height, width);
    else if (!welcome.resumed) toast("The world was kept for a while and is gone: this is a new one.", true);
    if (isFirst && welcome.seat === "queued") toast("All seats are taken: you watch until it is your turn.");
    this.playback.gap();
    this.receipts.forgetUnshown(true);
    this.#setState({ ...this.state, paused: welcome.paused, saved: welcome.saved });
    for (const key of this.mayPlay ? this.#held.keys() : []) this.connection.key(key, true, performance.now());
    this.inspector.askAgain();
  }

  #arrange(height, width) {
    const { buttons, commands } = this.welcome;
    this.screen.resize(height, width);
    const chords = [...buttons, ...commands].flatMap(each => each.keys);
    this.keys = new KeyReader(chords.flatMap(chord => chord.split("+")));
    this.#controls = new Controls(buttons, {
      press: (button, timeMs) => this.press(button.key, timeMs),
      release: (button, timeMs) => this.release(button.key, timeMs),
    });
  }

  #take(header, body) {
    if (header.type === "block") this.#receive(header, body);
    else if (header.type === "strip") this.inspector.takeLate(header, body);
    else if (header.type === "seat") this.#setSeat(header);
    else if (header.type === "state") this.#setState(header);
    else if (header.type === "ping" && header.rtt_ms) this.#rttMs = header.rtt_ms;
    else if (header.type === "notice") toast(header.text);
  }

  #setSeat(seat) {
    const wasQueued = this.seat.seat === "queued";
    this.seat = seat;
    if (wasQueued && seat.seat === "player") toast("It is your turn.");
    this.#phase("open", "");
  }

  #setState(state) {
    if (state.paused || state.away || this.state.paused || this.state.away) this.playback.gap();
    this.state = state;
    this.#phase("open", "");
  }

  #receive(block, body) {
    const generation = this.#generation;
    this.connection.send({ type: "ack", seq: block.seq });
    const decoder = this.#decoder;
    this.#decoding = this.#decoding.then(async () => {
      const frames = await decoder.decode(body, block.sizes).catch(() => null);
      const strip = await readStrip(block.strip, behind(body, block.sizes));
      if (generation !== this.#generation) return;
      if (frames === null) toast(`A block could not be decoded (${block.encoding}).`, true);
      else this.#queue({ ...block, frames, strip, frameMs: block.frame_ms, close: () => closeAll(frames, strip) });
    });
  }

  #queue(block) {
    if (block.immediate) this.receipts.forgetUnshown();
    this.receipts.answer(block);
    this.playback.add(block, performance.now());
  }

  // The picture.

  #tick() {
    requestAnimationFrame(() => this.#tick());
    const now = performance.now();
    const frame = this.playback.frameAt(now);
    if (frame === null) return;
    const isNewBlock = frame.block !== this.shown?.block;
    if (isNewBlock || frame.index !== this.shown.index) {
      this.screen.draw(frame.block.frames[frame.index], now);
      this.shown = frame;
      if (isNewBlock) this.#begin(frame.block, now);
      this.onFrame?.(frame);
    }
    this.screen.write(frame.block, this.receipts.visible(now), now);
  }

  #begin(block, now) {
    const keyToPixelMs = this.receipts.shown(block, now);
    const { lateMs } = this.playback;
    this.connection.send({ type: "shown", seq: block.seq, key_to_pixel_ms: keyToPixelMs, late_ms: lateMs });
    this.#controls.seen(block.info.scene, this.screen.canvas);
    this.screen.shine(block.frames[0]);
    this.inspector.show(block);
    this.#lost += block.dropped + (lateMs > LATE_MS);
    this.screen.measure({
      latencyMs: this.receipts.medianMs,
      rttMs: this.#rttMs,
      bufferMs: this.playback.bufferMs,
      lost: this.#lost,
    });
  }

  /** Show how the session stands. */
  #phase(name, sentence) {
    if (name === "connecting") showPhase(name, { link: "connecting", title: "Connecting", text: "to the server" });
    if (name === "lost") {
      const kept = this.mayResume ? `Your world is kept for ${this.welcome.resume_s} s.` : "";
      const text = ["Connecting again.", sentence, kept].filter(Boolean).join(" ");
      showPhase("lost", { link: "connection lost", title: "Connection lost", text });
      this.#controls?.enable(false);
    }
    if (name === "refused") {
      showPhase(name, { link: "not connected", title: "Not connected", text: sentence, retry: true });
    }
    if (name === "open" && this.welcome) this.#showSeat();
    this.onChange();
  }

  #showSeat() {
    const { seat, place } = this.seat;
    const { paused, away, viewers } = this.state;
    const watched = viewers ? ` · ${viewers} watching` : "";
    const links = {
      player: paused ? `paused${watched}` : `live${watched}`,
      viewer: away ? "the player is away" : paused ? "watching · paused" : "watching",
      queued: `place ${place} in the queue`,
    };
    const phases = { player: "live", viewer: "watching", queued: "queued" };
    showPhase(phases[seat], { link: links[seat] });
    this.#controls.enable(seat === "player");
    document.documentElement.classList.toggle("viewer", seat === "viewer");
    document.documentElement.classList.toggle("paused", paused);
  }
}

/** Free the bitmaps of a block. */
function closeAll(frames, strip) {
  for (const bitmap of [...frames, strip?.sheet]) bitmap?.close();
}
