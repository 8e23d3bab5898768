/** One live session: from the microphone to the server, and its events back. */

import { Microphone, RATE } from "./microphone.js";
import { ServerError } from "./server.js";

const LOST = "The connection to the server was lost; what it had heard is kept.";
const TAIL = 200; // milliseconds that are heard after the button is let go: people are early

export class LiveSession {
  #socket;
  #ready;
  #waiting = [];
  #microphone = null;
  #over;
  #abandoned = false;

  /**
   * @param {import("./server.js").Server} server
   * @param {{hotWords: string, digits: boolean}} options as of `Server.transcribe`
   * @param {{samples: Function, partial: Function, final: Function}} handlers
   */
  constructor(server, options, handlers) {
    this.handlers = handlers;
    this.#socket = server.stream(RATE, options);
    this.#socket.binaryType = "arraybuffer";
    let ready;
    this.#ready = new Promise((resolve) => (ready = resolve));
    this.#over = new Promise((resolve, reject) => {
      this.#socket.onmessage = ({ data }) => this.#hear(JSON.parse(data), ready, resolve, reject);
      this.#socket.onclose = () => reject(new ServerError(LOST));
    });
    this.#over.catch(() => {}); // `finished` tells
  }

  /** Resolves at the session's end; throws what ended it early. */
  get finished() {
    return this.#over;
  }

  /** Whether the microphone is open. */
  get isOpen() {
    return this.#microphone !== null;
  }

  /** Open the microphone; what it hears is sent from now on. */
  async start() {
    const microphone = await Microphone.open((samples) => this.#take(samples));
    if (this.#abandoned) await microphone.close();
    else this.#microphone = microphone;
  }

  /** Let go of the microphone, and wait for the last words. */
  async stop() {
    await new Promise((resolve) => setTimeout(resolve, TAIL));
    await this.#microphone.close();
    await Promise.race([this.#ready, this.#over]);
    this.#socket.send(JSON.stringify({ type: "end" }));
    await this.#over;
  }

  /** Let go of everything at once. */
  async abandon() {
    this.#abandoned = true;
    this.#socket.close();
    await this.#microphone?.close();
  }

  #take(samples) {
    if (this.#abandoned) return;
    this.handlers.samples(samples);
    if (this.#waiting) this.#waiting.push(samples);
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(samples);
  }

  #hear(event, ready, done, fail) {
    if (event.type === "ready") {
      for (const samples of this.#waiting) this.#socket.send(samples);
      this.#waiting = null;
      ready();
    } else if (event.type === "done") done();
    else if (event.type === "error") fail(new ServerError(event.error.message, event.error.code));
    else this.handlers[event.type](event);
  }
}
