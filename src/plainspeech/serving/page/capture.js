/** The audio thread's part of the microphone: 16-bit mono PCM, a tenth of a second at a time. */

import { Resampler } from "./resampler.js";

class Capture extends AudioWorkletProcessor {
  #portion;
  #filled = 0;
  #going = true;
  #resampler;

  constructor({ processorOptions: { rate } }) {
    super();
    this.#resampler = new Resampler(sampleRate, rate);
    this.#portion = new Int16Array(rate / 10);
    this.port.onmessage = () => this.#finish();
  }

  process([channels]) {
    if (this.#going && channels.length) this.#take(this.#resampler.feed(mono(channels)));
    return this.#going;
  }

  #take(samples) {
    for (const sample of samples) {
      this.#portion[this.#filled++] = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
      if (this.#filled === this.#portion.length) this.#send();
    }
  }

  #send() {
    this.port.postMessage(this.#portion.slice(0, this.#filled));
    this.#filled = 0;
  }

  /** Send what is left, and null for the end. */
  #finish() {
    this.#going = false;
    this.#take(this.#resampler.finish());
    if (this.#filled) this.#send();
    this.port.postMessage(null);
  }
}

function mono(channels) {
  if (channels.length === 1) return channels[0];
  return channels[0].map((_, i) => channels.reduce((sum, c) => sum + c[i], 0) / channels.length);
}

registerProcessor("capture", Capture);
