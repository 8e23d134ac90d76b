// Receipts: which block answered a key press, and the time from the key to its first pixel, measured here.

const KEPT = 64;
const UNANSWERED_MS = 10000; // a press that a newer key has outranked gets no answer
const SHOWN_MS = 4000;
const FADE_MS = 1000;
const MOST_SHOWN = 6;

export class Receipts {
  #receipts = []; // {seq, label, name, pressedMs, block, latencyMs, shownMs}, oldest first

  /** Register a press; `label` is the key and `name` what it does. */
  press(seq, label, name, pressedMs) {
    this.#receipts.push({ seq, label, name, pressedMs, block: null, latencyMs: null, shownMs: null });
    this.#receipts = this.#receipts.slice(-KEPT);
  }

  /** Register the presses that a block answers, when it arrives. */
  answer(block) {
    for (const { seq } of block.answers) {
      const receipt = this.#receipts.find(each => each.seq === seq && each.block === null);
      if (receipt) Object.assign(receipt, { block: block.info.block, blockSeq: block.seq });
    }
  }

  /** Complete the receipts of a block whose first frame is on show; return their milliseconds from key to pixel. */
  shown(block, now) {
    const answered = this.#receipts.filter(each => each.blockSeq === block.seq && each.shownMs === null);
    for (const receipt of answered) Object.assign(receipt, { shownMs: now, latencyMs: now - receipt.pressedMs });
    return answered.map(receipt => receipt.latencyMs);
  }

  /** Drop the receipts of blocks that will never appear; with `all`, those of presses that wait for a block, too. */
  forgetUnshown(all = false) {
    this.#receipts = this.#receipts.filter(each => each.shownMs !== null || (each.block === null && !all));
  }

  /** The receipts to show at `now`, oldest first, each with the share of its opacity. */
  visible(now) {
    return this.#receipts
      .filter(each => each.shownMs !== null || each.block !== null || now - each.pressedMs < UNANSWERED_MS)
      .map(each => ({ ...each, isFading: each.shownMs !== null && now - each.shownMs > SHOWN_MS - FADE_MS }))
      .filter(each => each.shownMs === null || now - each.shownMs < SHOWN_MS)
      .slice(-MOST_SHOWN);
  }

  /** The median of the newest measured times from key to pixel, in milliseconds; null without one. */
  get medianMs() {
    const measured = this.#receipts.filter(each => each.latencyMs !== null).map(each => each.latencyMs);
    return measured.sort((a, b) => a - b)[measured.length >> 1] ?? null;
  }
}
