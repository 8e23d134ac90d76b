// The connection to the server: handshake, heartbeat, commands with answers, and coming back with the session's id.

import { VERSION, decode, encode } from "./wire.js";

const RETRY_MS = [0, 250, 500, 1000, 2000]; // waits before the attempts to connect again; the last one repeats
const OPENING_MS = 10000; // for a handshake
const SESSION = "infrope session";

/**
 * Calls `events.phase(name, sentence)` with "connecting", "lost" or "refused", `events.message(header, body)`
 * for every message but those of the connection itself, and `events.open(welcome)` after each handshake.
 */
export class Connection {
  #socket = null;
  #attempt = 0;
  #timer = 0;
  #answers = new Map(); // {wire, resolve, reject} by id of the command
  #nextId = Date.now(); // a page that is loaded again goes on with the session and must not repeat an id
  #nextSeq = 1;
  #silence = 0;
  #welcome = null;

  constructor(address, { role, rollout, encodings }, events) {
    Object.assign(this, { address, role, rollout, encodings, events });
    addEventListener("offline", () => this.#lose("This computer is offline."));
    addEventListener("online", () => this.#welcome === null && this.connect());
  }

  /** Connect now. */
  connect() {
    clearTimeout(this.#timer);
    this.#drop();
    this.events.phase(this.#attempt ? "lost" : "connecting", "");
    const socket = (this.#socket = new WebSocket(this.address.socket));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.send({ type: "hello", version: VERSION, role: this.role, rollout: this.rollout,
      encodings: this.encodings, session: sessionStorage.getItem(SESSION) ?? "", client: "page" });
    socket.onmessage = event => this.#receive(event.data);
    socket.onclose = () => this.#closed(socket);
    this.#expectLife(OPENING_MS);
  }

  get isOpen() {
    return this.#welcome !== null;
  }

  /** Send a message without an answer; return whether there is a connection. */
  send(header) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(header));
    return true;
  }

  /**
   * Send a command and return a promise of its result, which rejects with the reason of a refusal. What is not answered
   * when the connection is lost is sent again; the server executes each once. An AbortSignal takes a prompt back.
   */
  ask(header, body = null, signal = null) {
    if (!this.isOpen) return Promise.reject(new Error("There is no connection to the server now."));
    const id = this.#nextId++;
    signal?.addEventListener("abort", () => this.#withdraw(id));
    return this.#command(id, header, body);
  }

  /** Send a key that goes down or up and return the number of the event; null without a connection. */
  key(key, down, timeMs) {
    const seq = this.#nextSeq;
    if (!this.isOpen || !this.send({ type: "key", seq, key, down, time_ms: timeMs })) return null;
    this.#nextSeq += 1;
    return seq;
  }

  releaseAll() {
    if (this.isOpen && this.send({ type: "release_all", seq: this.#nextSeq })) this.#nextSeq += 1;
  }

  /** Say goodbye, because the page goes. If it is only loaded again, it finds its session. */
  leave() {
    this.send({ type: "leave", may_return: true });
  }

  #receive(data) {
    const { header, body } = decode(data);
    this.#expectLife(1000 * (this.#welcome?.lost_s ?? 6));
    if (header.type === "ping") this.send({ type: "pong", time_ms: header.time_ms });
    if (header.type === "welcome") this.#open(header);
    else if (header.type === "error") this.#fail(header);
    else if (header.type === "result") this.#answer(header);
    else this.events.message(header, body);
  }

  #open(welcome) {
    if (welcome.version !== VERSION) {
      const versions = `version ${welcome.version} of the protocol and this page version ${VERSION}`;
      this.#refuse(`The server speaks ${versions}: reload the page.`);
      return;
    }
    this.#welcome = welcome;
    this.#attempt = 0;
    this.#nextSeq = welcome.next_seq;
    sessionStorage.setItem(SESSION, welcome.session);
    this.events.open(welcome);
    if (!welcome.resumed) this.#forget("The session on the server has ended; try again.");
    for (const { wire } of this.#answers.values()) this.#socket.send(wire);
  }

  #command(id, header, body = null) {
    const wire = body === null ? JSON.stringify({ ...header, id }) : encode({ ...header, id }, body);
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { wire, resolve, reject });
      if (this.isOpen) this.#socket.send(wire);
    });
  }

  #withdraw(command) {
    if (!this.#answers.has(command)) return;
    this.#command(this.#nextId++, { type: "withdraw", command }).catch(() => {}); // the session has ended: no prompt
  }

  #answer(result) {
    const waiting = this.#answers.get(result.id);
    this.#answers.delete(result.id);
    if (result.error) waiting?.reject(new Error(result.error));
    else waiting?.resolve(result);
  }

  #fail({ text, retry }) {
    if (retry) this.#lose(text);
    else this.#refuse(text);
  }

  #closed(socket) {
    if (socket !== this.#socket) return;
    if (this.#welcome) this.#lose("");
    else this.#explain();
  }

  /** Find out why there was no handshake: browsers hide the answer to a WebSocket. */
  async #explain() {
    const socket = this.#socket;
    let sentence = "";
    try {
      const answer = await fetch(this.address.check, { cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) sentence = await answer.text();
    } catch { /* no server there: the next attempt may find it */ }
    if (socket !== this.#socket) return;
    if (sentence) this.#refuse(sentence);
    else this.#lose("The server does not answer.");
  }

  #lose(sentence) {
    this.#drop();
    this.events.phase("lost", sentence);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), RETRY_MS[Math.min(this.#attempt, RETRY_MS.length - 1)]);
    this.#attempt += 1;
  }

  #refuse(sentence) {
    this.#drop();
    this.#forget(sentence);
    clearTimeout(this.#timer);
    this.events.phase("refused", sentence);
  }

  /** Reject the commands that have no answer. */
  #forget(sentence) {
    for (const { reject } of this.#answers.values()) reject(new Error(sentence));
    this.#answers.clear();
  }

  /** Leave the socket, if there is one. */
  #drop() {
    const socket = this.#socket;
    this.#socket = this.#welcome = null;
    clearTimeout(this.#silence);
    socket?.close();
  }

  #expectLife(milliseconds) {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lose("The server has gone silent."), milliseconds);
  }
}
