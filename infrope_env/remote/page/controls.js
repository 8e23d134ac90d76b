// The buttons of an action set: a pad of arrows where it binds them, keys for other motions, a tile for each scene.
//
// A button is down as long as a finger, the mouse or the key bound to it is, and looks pressed in all three cases.

const ARROWS = ["left", "right", "up", "down"];
const CORNERS = ["q", "e"]; // beside the W of the pad

const icon = name => `<svg aria-hidden="true"><use href="#i-${name}"/></svg>`;
const firstUpper = text => text.charAt(0).toUpperCase() + text.slice(1);

/** The key as a button shows it: "right" is "→", "shift+a" is "Shift+A". */
export function keyLabel(key) {
  const signs = { left: "←", right: "→", up: "↑", down: "↓" };
  return key.split("+").map(part => signs[part] ?? firstUpper(part)).join("+");
}

export class Controls {
  #buttons = new Map(); // button by action name
  #tiles = new Map(); // tile by scene name
  #held = new Map(); // number of things that hold an action down

  /**
   * @param {object[]} actions The buttons of the welcome: name, label, kind, keys and key of every action.
   * @param {{press: Function, release: Function}} steer Called with a button and the time when it goes down and up.
   */
  constructor(actions, steer) {
    this.steer = steer;
    const pad = document.getElementById("pad");
    const more = document.getElementById("more");
    const moves = actions.filter(action => action.kind === "motion" && action.keys.length);
    const placed = new Set();
    for (const arrow of ARROWS) {
      const action = moves.find(each => each.keys.includes(arrow));
      if (!action) continue;
      placed.add(action);
      pad.append(this.#moveButton(action, arrow, icon(arrow)));
    }
    for (const action of moves.filter(each => !placed.has(each))) {
      const corner = CORNERS.find(key => action.keys.includes(key) && pad.children.length >= 3);
      (corner ? pad : more).append(this.#moveButton(action, corner, ""));
    }
    const scenes = actions.filter(action => action.kind === "cut");
    document.getElementById("scenes").append(...scenes.map(action => this.#sceneTile(action)));
    document.querySelector(".places").hidden = !scenes.length;
  }

  /** Show an action as held by a key, or no longer. */
  hold(name, down) {
    const count = Math.max(0, (this.#held.get(name) ?? 0) + (down ? 1 : -1));
    this.#held.set(name, count);
    this.#buttons.get(name)?.classList.toggle("down", count > 0);
  }

  releaseAll() {
    this.#held.clear();
    for (const button of this.#buttons.values()) button.classList.remove("down");
  }

  /** Let or forbid the player to steer. */
  enable(on) {
    for (const button of this.#buttons.values()) button.disabled = !on;
  }

  /** Mark the scene on show, and keep the picture as that of its tile. */
  seen(scene, picture) {
    for (const [name, tile] of this.#tiles) {
      if (name === scene) tile.setAttribute("aria-current", "true");
      else tile.removeAttribute("aria-current");
    }
    const canvas = this.#tiles.get(scene)?.querySelector("canvas");
    canvas?.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  }

  #moveButton(action, place, sign) {
    const button = this.#button(action, "key");
    if (place) button.dataset.place = place;
    const key = action.keys.find(each => !ARROWS.includes(each)) ?? action.keys[0];
    button.innerHTML = sign;
    button.append(span(firstUpper(action.label)), kbd(keyLabel(key)));
    return button;
  }

  #sceneTile(action) {
    const tile = this.#button(action, "key scene");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [80, 48];
    tile.append(canvas, span(action.label.replace(/^cut (to )?/, "")));
    if (action.keys[0]) tile.append(kbd(keyLabel(action.keys[0])));
    this.#tiles.set(action.name.replace(/^cut_/, ""), tile);
    return tile;
  }

  #button(action, className) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className });
    button.dataset.action = action.name;
    this.#buttons.set(action.name, button);
    this.#listen(button, action);
    return button;
  }

  /** Press with a finger or the mouse for as long as it is down; with Space or Enter on the focused button, tap. */
  #listen(button, action) {
    let down = false;
    const release = () => {
      if (!down) return;
      down = false;
      this.steer.release(action, performance.now());
      this.hold(action.name, false);
    };
    button.addEventListener("pointerdown", event => {
      if (event.button || button.disabled || down) return;
      down = true;
      button.setPointerCapture(event.pointerId);
      this.hold(action.name, true);
      this.steer.press(action, event.timeStamp);
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(end, release);
    button.addEventListener("contextmenu", event => event.preventDefault());
    button.addEventListener("click", event => {
      if (event.detail) return; // a pointer has pressed and released it already
      this.steer.press(action, event.timeStamp);
      this.steer.release(action, event.timeStamp);
    });
  }
}

function span(text) {
  return Object.assign(document.createElement("span"), { textContent: text });
}

function kbd(text) {
  return Object.assign(document.createElement("kbd"), { textContent: text });
}
