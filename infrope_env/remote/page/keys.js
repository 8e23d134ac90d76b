// Names of the physical keys that go down and up, as action sets write them, whatever the layout of the keyboard is.
//
// A key has the name that its layout gives it. Where that is no bound name and no letter of the Latin alphabet (a
// Russian layout has no "d", a French one has "1" on Shift only), the key at its place on a US keyboard has that name.
// A key that goes up has the name with which it went down.

const NAMES = {
  " ": "space", Enter: "return", Escape: "escape", Control: "ctrl", PageUp: "page up", PageDown: "page down",
  Pause: "pause", CapsLock: "caps lock", ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
};

const PLACES = {
  Comma: ",", Period: ".", Slash: "/", Semicolon: ";", Quote: "'", BracketLeft: "[", BracketRight: "]",
  Backslash: "\\", Minus: "-", Equal: "=", Backquote: "`", Space: "space",
};

/** The name that the layout gives the key of an event: "d", "right", "space", "f5". */
function nameInLayout(event) {
  return NAMES[event.key] ?? event.key.toLowerCase();
}

/** The letter, digit or sign at the key's place on a US keyboard; "" for another key. */
function nameOfPlace(event) {
  const sign = /^(?:Key|Digit)([A-Z0-9])$/.exec(event.code);
  return sign ? sign[1].toLowerCase() : (PLACES[event.code] ?? "");
}

export class KeyReader {
  #bound;
  #down = new Map(); // name by physical key

  /** Read keys; `bound` has the names of all keys that have an effect. */
  constructor(bound) {
    this.#bound = new Set(bound);
  }

  /** The name of a key that goes down. */
  press(event) {
    const name = this.name(event);
    this.#down.set(event.code || event.key, name);
    return name;
  }

  /** The name with which the key went down; null while another key of that name is down, or for one unseen. */
  release(event) {
    const key = event.code || event.key;
    const name = this.#down.get(key) ?? null;
    this.#down.delete(key);
    return [...this.#down.values()].includes(name) ? null : name;
  }

  /** Forget the keys that are down. */
  releaseAll() {
    this.#down.clear();
  }

  /** Whether Ctrl, Alt or Super, which no binding uses, is down with the key: a shortcut of the browser. */
  isChord(event) {
    const held = { ctrl: event.ctrlKey, alt: event.altKey, meta: event.metaKey };
    return Object.entries(held).some(([name, down]) => down && !this.#bound.has(name));
  }

  isBound(name) {
    return this.#bound.has(name);
  }

  /** The name of the key of an event. */
  name(event) {
    const name = nameInLayout(event);
    const place = nameOfPlace(event);
    const isLatin = /^[a-z]$/.test(name);
    return !this.#bound.has(name) && this.#bound.has(place) && !isLatin ? place : name;
  }
}
