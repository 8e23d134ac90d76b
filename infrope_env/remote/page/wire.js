// Messages as bytes: a text message is a JSON header; a binary one is its length, the header and a body.

export const VERSION = 1;

/** Return a message with a body as bytes. */
export function encode(header, body) {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(4 + text.length + body.byteLength);
  new DataView(bytes.buffer).setUint32(0, text.length);
  bytes.set(text, 4);
  bytes.set(new Uint8Array(body), 4 + text.length);
  return bytes;
}

/** Return header and body of what the server sent, a text or an ArrayBuffer. */
export function decode(data) {
  if (typeof data === "string") return { header: JSON.parse(data), body: new Uint8Array() };
  const length = new DataView(data).getUint32(0);
  const header = new TextDecoder().decode(new Uint8Array(data, 4, length));
  return { header: JSON.parse(header), body: new Uint8Array(data, 4 + length) };
}

/** Split the body of a block into the bytes of its frames. */
export function split(body, sizes) {
  let start = 0;
  return sizes.map(size => body.subarray(start, (start += size)));
}

/** The bytes of a body behind those of its frames. */
export function behind(body, sizes) {
  return body.subarray(sizes.reduce((sum, size) => sum + size, 0));
}
