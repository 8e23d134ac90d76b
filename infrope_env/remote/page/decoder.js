// Frames of a block as bitmaps: H.264 by WebCodecs, which browsers offer in a secure context only, or JPEG everywhere.

import { split } from "./wire.js";

const PROBE = { codec: "avc1.42E01E", optimizeForLatency: true };

/** Return the encodings that this browser reads, the preferred one first. */
export async function readableEncodings() {
  const support = globalThis.VideoDecoder && (await VideoDecoder.isConfigSupported(PROBE).catch(() => null));
  return support?.supported ? ["h264", "jpeg"] : ["jpeg"];
}

export function makeDecoder({ encoding, codec }) {
  return encoding === "h264" ? new H264Decoder(codec) : new JpegDecoder();
}

class JpegDecoder {
  /** Return a promise of the bitmaps of a block's frames. */
  decode(body, sizes) {
    return Promise.all(split(body, sizes).map(bytes => createImageBitmap(new Blob([bytes], { type: "image/jpeg" }))));
  }

  close() {}
}

class H264Decoder {
  #decoder = null;
  #frames = []; // promises of bitmaps of the block being decoded

  constructor(codec) {
    this.codec = codec;
  }

  /** Return a promise of the bitmaps of a block's frames; blocks must be decoded one after the other. */
  async decode(body, sizes) {
    if (this.#decoder === null || this.#decoder.state !== "configured") this.#begin();
    this.#frames = [];
    split(body, sizes).forEach((data, index) =>
      this.#decoder.decode(new EncodedVideoChunk({ type: index ? "delta" : "key", timestamp: index, data })),
    );
    await this.#decoder.flush(); // the next block begins with a keyframe anyway
    return Promise.all(this.#frames);
  }

  close() {
    if (this.#decoder?.state !== "closed") this.#decoder?.close();
  }

  #begin() {
    this.#decoder = new VideoDecoder({
      output: frame => {
        const bitmap = createImageBitmap(frame);
        this.#frames.push(bitmap);
        bitmap.finally(() => frame.close()); // decoders have few frames to lend
      },
      error: failure => console.error(failure),
    });
    this.#decoder.configure({ codec: this.codec, optimizeForLatency: true });
  }
}
