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

  /** Return the model's entry: its `id`, and whether `hot_words` are of use. */
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
   * Return the verbose JSON of a recording.
   * @param {File} file
   * @param {string} hotWords
   * @param {(share: number) => void} onSent told how much has been sent, 0 to 1
   * @param {AbortSignal} signal gives up
   */
  transcribe(file, hotWords, onSent, signal) {
    const form = new FormData();
    form.append("file", file);
    form.append("model", this.#model);
    form.append("response_format", "verbose_json");
    for (const what of ["word", "segment"]) form.append("timestamp_granularities[]", what);
    if (hotWords) form.append("hot_words", hotWords);
    // fetch does not tell how much of a request has been sent.
    const request = new XMLHttpRequest();
    return new Promise((resolve, reject) => {
      request.open("POST", "v1/audio/transcriptions");
      for (const header of Object.entries(this.#headers())) request.setRequestHeader(...header);
      request.responseType = "json";
      request.upload.onprogress = (event) => onSent(event.loaded / event.total);
      request.onerror = () => reject(new ServerError(UNREACHABLE));
      request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
      request.onload = () =>
        request.status === 200
          ? resolve(request.response)
          : reject(refusal(request.status, request.response));
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });
  }

  /** Return the socket of a new live session for 16-bit PCM at `rate` Hz. */
  stream(rate, hotWords) {
    const url = new URL("v1/stream", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("sample_rate", rate);
    if (hotWords) url.searchParams.set("hot_words", hotWords);
    if (this.token) url.searchParams.set("token", this.token);
    return new WebSocket(url);
  }

  #headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }
}

function refusal(status, values) {
  const error = values?.error;
  if (error) return new ServerError(error.message, error.code);
  return new ServerError(`The server answered with status ${status} and no explanation.`);
}
