// Which pixel frame is shown when: blocks one after another, each frame for its time, behind a small jitter buffer.
//
// A block that arrives waits in the queue until the one on show has ended. The time for which the blocks wait is the
// buffer: it is kept just above the jitter of the newest arrivals by showing frames a little longer or shorter, which
// also follows the clock of the server. A block that comes late holds the last picture; then the buffer is larger.
// Reads no clock: times are milliseconds that the caller passes.

const HISTORY = 8; // blocks over which the slack is measured
const LEAST_BUFFER_MS = 25;
const MOST_BUFFER_MS = 400;
const MOST_QUEUED = 3; // blocks that wait
const STALE_MS = 40; // a block as late as this makes earlier measurements obsolete
const STALL_MS = 1000; // a block as late as this is no jitter: no buffer could have helped
const STRETCH = 0.06; // share by which a frame is shown longer or shorter at most
const HURRY = 0.2; // the same, far behind

export class Playback {
  #queue = [];
  #current = null; // {block, startMs, frameMs}
  #slackMs = []; // for how long the newest blocks waited, as if all had been shown at the present delay
  #bufferMs = LEAST_BUFFER_MS;

  /** Blocks that came after the one before had ended. */
  underruns = 0;

  /** Milliseconds for which the last picture was held before the block on show; 0 if it was in time. */
  lateMs = 0;

  #isGap = false;

  /** Add a block that is ready to be shown: {frames, frameMs, immediate, ...}. */
  add(block, now) {
    this.frameAt(now); // nobody may have looked for long
    if (block.immediate || this.#current === null) {
      this.#replace(block, now);
      return;
    }
    if (this.#queue.length >= MOST_QUEUED) this.#replace(this.#queue.pop(), now); // all came at once after a silence
    if (!this.#isGap) this.#measure(this.#endOfQueue() - now);
    this.#queue.push({ ...block, arrivedMs: now, isAfterGap: this.#isGap });
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
      const lateMs = Math.max(0, next.arrivedMs - due);
      this.lateMs = next.isAfterGap ? 0 : lateMs;
      this.#begin(next, due + lateMs);
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

  /** Show a block from a time on, stretched so that the least slack of the newest blocks becomes the buffer. */
  #begin(block, startMs) {
    this.#current?.block.close?.();
    const durationMs = block.frameMs * block.frames.length;
    const leastMs = this.#slackMs.length ? Math.min(...this.#slackMs) : 0;
    const share = (this.#bufferMs - leastMs) / durationMs;
    const stretch = Math.min(Math.max(share, share < -HURRY ? -HURRY : -STRETCH), STRETCH);
    this.#current = { block, startMs, frameMs: block.frameMs * (1 + stretch) };
    this.#slackMs = this.#slackMs.map(slackMs => slackMs + stretch * durationMs);
  }

  /** Take the time for which a block will have waited, negative when it is late. */
  #measure(slackMs) {
    const lateMs = Math.max(0, -slackMs);
    if (lateMs > 0) this.underruns += 1;
    if (lateMs > STALE_MS) this.#slackMs = [];
    else this.#slackMs = [...this.#slackMs, Math.max(0, slackMs)].slice(-HISTORY);
    const grownMs = this.#bufferMs + (lateMs < STALL_MS ? lateMs / 2 : 0);
    this.#bufferMs = Math.min(Math.max(LEAST_BUFFER_MS, 0.98 * this.#bufferMs, grownMs), MOST_BUFFER_MS);
  }

  #end({ block, startMs, frameMs }) {
    return startMs + block.frames.length * frameMs;
  }

  #endOfQueue() {
    return this.#queue.reduce((end, block) => end + block.frames.length * block.frameMs, this.#end(this.#current));
  }
}
