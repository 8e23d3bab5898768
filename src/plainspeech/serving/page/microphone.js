/** The microphone as a stream of 16-bit mono PCM. */

/** Hz. */
export const RATE = 16000;

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the microphone; allow it for this page.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "The microphone is in use by another program.",
};

/** A microphone that is open. */
export class Microphone {
  #stream;
  #context;
  #node;
  #ended;

  /**
   * Open the microphone.
   * @param {(samples: Int16Array) -> void} onSamples takes each tenth of a second
   * @throws {Error} whose message tells the user why there is none
   */
  static async open(onSamples) {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers give the microphone to pages of https or localhost only.");
    }
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch((error) => {
      throw new Error(REASONS[error.name] ?? `The microphone does not work: ${error.message}`);
    });
    const microphone = new Microphone();
    microphone.#stream = stream;
    await microphone.#listen(onSamples);
    return microphone;
  }

  async #listen(onSamples) {
    this.#context = new AudioContext();
    await this.#context.audioWorklet.addModule("capture.js");
    const processorOptions = { rate: RATE };
    this.#node = new AudioWorkletNode(this.#context, "capture", { processorOptions });
    this.#ended = new Promise((resolve) => {
      this.#node.port.onmessage = ({ data }) => (data ? onSamples(data) : resolve());
    });
    this.#context.createMediaStreamSource(this.#stream).connect(this.#node);
    this.#node.connect(this.#context.destination); // silent, but what leads nowhere may not run
    await this.#context.resume();
  }

  /** Let go of it; resolves when `onSamples` has had everything. */
  async close() {
    this.#node.port.postMessage("finish");
    await this.#ended;
    for (const track of this.#stream.getTracks()) track.stop();
    await this.#context.close();
  }
}
