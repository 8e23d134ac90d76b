// Which pixel frame is shown when: blocks one after another, each frame for its time, behind a small jitter buffer.
//
// A block that arrives waits in the queue until the one on show has ended. The time for which the blocks wait is the
// buffer: it is kept just above the jitter of the newest arrivals by showing frames a little longer or shorter, which
// also follows the clock of the server. A block that comes late holds the last picture; after that the buffer is larger.
// Reads no clock: times are milliseconds that the caller passes.

const HISTORY = 12; // blocks over which the slack is measured
const LEAST_BUFFER_MS = 25;
const MOST_BUFFER_MS = 400;
const MOST_QUEUED = 4; // blocks that wait
const LATE_MS = 40; // an underrun of this much adds to the buffer
const STRETCH = 0.06; // by which a frame is shown longer or shorter at most

export class Playback {
  #queue = [];
  #current = null; // {block, startMs, frameMs}
  #slackMs = []; // for how long the newest blocks were ready before they were due, negative when late
  #bufferMs = LEAST_BUFFER_MS;

  /** Blocks that came after the one before had ended. */
  underruns = 0;

  /** Milliseconds for which the last picture was held before the block on show; 0 if it was in time. */
  lateMs = 0;

  #isGap = false;

  /** Add a block that is ready to be shown: {frames, frameMs, immediate, ...}. */
  add(block, now) {
    if (block.immediate || this.#current === null) {
      this.#replace(block, now);
      return;
    }
    if (this.#queue.length >= MOST_QUEUED) this.#replace(this.#queue.pop(), now); // the page was hidden
    if (!this.#isGap) this.#measure(this.#endOfQueue() - now);
    this.#queue.push({ ...block, isAfterGap: this.#isGap });
    this.#isGap = false;
  }

  /** Expect no block in time: play is paused, or the connection was lost. */
  gap() {
    this.#isGap = true;
  }

  /** The frame on show at `now`: {block, index}; null before the first block. */
  frameAt(now) {
    while (this.#queue.length && now >= this.#end(this.#current)) {
      const due = this.#end(this.#current);
      const next = this.#queue.shift();
      const heldMs = now - due;
      this.#begin(next, heldMs > next.frameMs ? now : due);
      this.lateMs = next.isAfterGap || heldMs < 20 ? 0 : heldMs; // a screen shows 60 frames per second or so
    }
    if (this.#current === null) return null;
    const { block, startMs, frameMs } = this.#current;
    const index = Math.floor((now - startMs) / frameMs + 1e-6);
    return { block, index: Math.min(Math.max(index, 0), block.frames.length - 1) };
  }

  /** Milliseconds by which blocks are ready before they are due, as intended now. */
  get bufferMs() {
    return this.#bufferMs;
  }

  #replace(block, now) {
    this.#queue.forEach(dropped => dropped.close?.());
    this.#queue = [];
    this.#slackMs = [];
    this.#isGap = false;
    this.lateMs = 0;
    this.#begin(block, now);
  }

  #begin(block, now) {
    this.#current?.block.close?.();
    this.#current = { block, startMs: now, frameMs: block.frameMs * this.#stretch(block) };
  }

  /** Factor of the frame's duration that moves the least slack of the newest blocks towards the buffer. */
  #stretch(block) {
    if (!this.#slackMs.length) return 1 + this.#bufferMs / (block.frameMs * block.frames.length);
    const excess = Math.min(...this.#slackMs) - this.#bufferMs;
    const share = excess / (block.frameMs * block.frames.length);
    return 1 - Math.min(Math.max(share / 2, -STRETCH), STRETCH);
  }

  #measure(slackMs) {
    if (slackMs < 0) this.underruns += 1;
    if (slackMs < -LATE_MS) this.#slackMs = []; // the picture was held: what was measured before is over
    this.#slackMs.push(Math.max(slackMs, 0));
    if (this.#slackMs.length > HISTORY) this.#slackMs.shift();
    const missing = Math.max(0, -slackMs);
    this.#bufferMs = Math.min(Math.max(LEAST_BUFFER_MS, this.#bufferMs * 0.98, this.#bufferMs + missing / 2), MOST_BUFFER_MS);
  }

  #end({ block, startMs, frameMs }) {
    return startMs + block.frames.length * frameMs;
  }

  #endOfQueue() {
    return this.#queue.reduce((end, block) => end + block.frames.length * block.frameMs, this.#end(this.#current));
  }
}
