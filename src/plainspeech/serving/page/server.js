/** The server's interface (docs/serving.md). */

const UNREACHABLE = "The server cannot be reached; is it still running?";

/** What the server refuses something with, in its own words. */
export class ServerError extends Error {
  /**
   * @param {string} message one line
   * @param {string|null} code the server's word for it
   */
  constructor(message, code = null) {
    super(message);
    this.code = code;
  }

  /** Whether a token is missing or wrong. */
  get wantsToken() {
    return this.code === "invalid_api_key";
  }
}

export class Server {
  /** Of the operator; empty where none is asked for. */
  token = "";
  #model = "whisper-1";

  /** Return the model's entry: its `id`, and whether `hot_words` and `digits` can be had. */
  async model() {
    const response = await fetch("v1/models", { headers: this.#headers() }).catch(() => {
      throw new ServerError(UNREACHABLE);
    });
    const values = await response.json().catch(() => null);
    if (!response.ok) throw refusal(response.status, values);
    this.#model = values.data[0].id;
    return values.data[0];
  }

  /**
   * Transcribe a recording; return its duration in seconds.
   * @param {File} file
   * @param {{hotWords: string, digits: boolean, separate: boolean}} options `digits`: numbers are
   *   written in them; `separate`: each channel is transcribed by itself
   * @param {{sent: (share: number) => void, segments: (events: object[]) => void}} handlers of how
   *   much has been sent, 0 to 1, and of segments as they are found
   * @param {AbortSignal} signal cancels it
   */
  transcribe(file, { hotWords, digits, separate }, handlers, signal) {
    const form = new FormData();
    form.append("file", file);
    form.append("model", this.#model);
    form.append("stream", "true");
    if (hotWords) form.append("hot_words", hotWords);
    if (digits) form.append("numbers", "digits");
    if (separate) form.append("channels", "separate");
    // fetch does not tell how much of a request has been sent.
    const request = new XMLHttpRequest();
    const events = new Events();
    return new Promise((resolve, reject) => {
      const read = () => {
        if (request.status !== 200) return;
        const found = events.read(request.responseText);
        const segments = found.filter(({ type }) => type === "transcript.text.delta");
        if (segments.length) handlers.segments(segments);
        for (const { type, duration, error } of found) {
          if (type === "transcript.text.done") resolve(duration);
          if (error) reject(new ServerError(error.message, error.code));
        }
      };
      request.open("POST", "v1/audio/transcriptions");
      for (const header of Object.entries(this.#headers())) request.setRequestHeader(...header);
      request.upload.onprogress = (event) => handlers.sent(event.loaded / event.total);
      request.onprogress = read;
      request.onerror = () => reject(new ServerError(UNREACHABLE));
      request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
      request.onload = () => {
        read();
        reject(refusal(request.status, parsed(request.responseText))); // unless it is resolved
      };
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });
  }

  /** Return the socket of a new live session for 16-bit PCM at `rate` Hz. */
  stream(rate, { hotWords, digits }) {
    const url = new URL("v1/stream", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("sample_rate", rate);
    if (hotWords) url.searchParams.set("hot_words", hotWords);
    if (digits) url.searchParams.set("numbers", "digits");
    if (this.token) url.searchParams.set("token", this.token);
    return new WebSocket(url);
  }

  #headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }
}

/** Reads server-sent events from a text that grows. */
class Events {
  #read = 0;

  /** Return the data of the events that are whole since the last call. */
  read(text) {
    const found = [];
    for (let end; (end = text.indexOf("\n\n", this.#read)) >= 0; this.#read = end + 2) {
      const lines = text.slice(this.#read, end).split("\n");
      found.push(JSON.parse(lines.find((line) => line.startsWith("data: ")).slice(6)));
    }
    return found;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function refusal(status, values) {
  const error = values?.error;
  if (error) return new ServerError(error.message, error.code);
  return new ServerError(`The server answered with status ${status} and no explanation.`);
}
