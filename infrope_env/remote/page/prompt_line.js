// The line in which a prompt is typed: history, prompts to try, and the answer of the server.

const MOST_REMEMBERED = 50;
const MOST_LABELLED = 70; // characters of a prompt on a button

export class PromptLine {
  #history = [];
  #place = 0; // index in the history; its length is the line being typed
  #draft = "";
  #sent = null; // AbortController of the prompt that the server reads

  /**
   * @param {(text: string, cut: boolean, signal: AbortSignal) => Promise} submit Sends a prompt; rejects with the reason
   *   of a refusal. The signal takes the prompt back.
   * @param {() => void} leave Called when the player is done with the line.
   */
  constructor(submit, leave) {
    this.form = document.getElementById("prompt");
    this.input = document.getElementById("prompt-text");
    this.hint = document.getElementById("prompt-hint");
    this.submit = submit;
    this.leave = leave;
    this.form.addEventListener("submit", event => {
      event.preventDefault();
      this.send(false);
    });
    document.getElementById("cut").addEventListener("click", () => this.send(true));
    this.input.addEventListener("keydown", event => this.#press(event));
    this.form.addEventListener("keydown", event => {
      if (event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      this.#escape();
    });
    this.input.addEventListener("input", () => this.#say(""));
    this.#say("");
  }

  /** Send the text that is in the line; it stays there while the server reads it, and if the server refuses it. */
  async send(cut) {
    const text = this.input.value.trim();
    if (!text || this.#sent) return;
    const sent = (this.#sent = new AbortController());
    this.#say("Encoding the prompt … Esc takes it back.");
    const refusal = await this.submit(text, cut, sent.signal).then(() => null, error => error);
    if (this.#sent !== sent) return; // it was taken back, and its answer concerns nobody
    this.#sent = null;
    if (refusal) {
      this.#say(refusal.message, true);
      this.input.focus();
      return;
    }
    this.#remember(text);
    if (this.input.value.trim() === text) this.input.value = "";
    this.#say("");
    this.leave();
  }

  /** Take back the prompt that the server has not put in force yet, if there is one, and leave the line. */
  #escape() {
    if (this.#sent) this.#say("");
    this.#sent?.abort();
    this.#sent = null;
    this.leave();
  }

  /** Offer prompts. One click cuts to one. */
  offer(prompts) {
    document.getElementById("presets").replaceChildren(
      ...prompts.map(text => {
        const label = text.length > MOST_LABELLED ? `${text.slice(0, MOST_LABELLED)} …` : text;
        const button = document.createElement("button");
        Object.assign(button, { type: "button", textContent: label, title: text });
        button.addEventListener("click", () => {
          this.input.value = text;
          this.send(true);
        });
        const item = document.createElement("li");
        item.append(button);
        return item;
      }),
    );
  }

  limit(characters) {
    this.input.maxLength = characters;
  }

  #press(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      this.send(true);
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      event.preventDefault();
      this.#recall(event.key === "ArrowUp" ? -1 : 1);
    }
  }

  #recall(step) {
    if (this.#place === this.#history.length) this.#draft = this.input.value;
    this.#place = Math.min(Math.max(this.#place + step, 0), this.#history.length);
    this.input.value = this.#history[this.#place] ?? this.#draft;
    this.input.setSelectionRange(this.input.value.length, this.input.value.length);
  }

  #remember(text) {
    this.#history = [...this.#history.filter(each => each !== text), text].slice(-MOST_REMEMBERED);
    this.#place = this.#history.length;
    this.#draft = "";
  }

  #say(text, refused = false) {
    this.hint.textContent = text || "Enter switches to it, Shift+Enter cuts to it, ↑ brings back earlier ones.";
    this.hint.classList.toggle("refused", refused);
    this.hint.classList.toggle("idle", !text);
    this.input.setAttribute("aria-invalid", String(refused));
  }
}
