/**
 * A waveform, or a spectrogram, on a canvas that stays where it is while the recording moves
 * under it: no canvas is as wide as an hour.
 */

import { PEAK_RATE } from "./sound.js";
import { Spectrogram } from "./spectrogram.js";

const BAR = 3; // CSS pixels from one bar to the next
const QUIETEST = 0.05; // a peak that fills the height at least; noise is not blown up
const MARGIN = 4; // CSS pixels above and below
const THINNEST = 1.5;

export class Waveform {
  #canvas;
  #context;
  #spectrogram = new Spectrogram();

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  /** CSS pixels. */
  set width(pixels) {
    this.#canvas.style.width = `${pixels}px`;
  }

  /**
   * Draw a part of a recording.
   * @param {{left: number, scale: number, time: number,
   *   peaks: import("./sound.js").Peaks | null, samples: Int16Array | null, words: object[]}} view
   *   `samples` for a spectrogram; `left` in CSS pixels from the beginning, `scale` in CSS pixels a
   *   second, the player's `time` in seconds
   */
  draw(view) {
    const { width, height } = this.#canvas.getBoundingClientRect();
    const dense = window.devicePixelRatio;
    const pixels = [Math.round(width * dense), Math.round(height * dense)];
    if (this.#canvas.width !== pixels[0] || this.#canvas.height !== pixels[1]) {
      [this.#canvas.width, this.#canvas.height] = pixels;
    }
    this.#context.setTransform(dense, 0, 0, dense, 0, 0);
    this.#context.clearRect(0, 0, width, height);
    const name = view.samples ? "Spectrogram, 0 to 8000 hertz" : "Waveform";
    this.#canvas.setAttribute("aria-label", name);
    if (view.samples) {
      const size = { width, height };
      this.#spectrogram.draw(this.#context, view, size, (name) => this.#colour(name));
      return;
    }
    this.#words(view, width, height);
    if (view.peaks) this.#peaks(view, width, height);
  }

  #words({ words, left, scale }, width, height) {
    this.#context.fillStyle = this.#colour("--word-band");
    for (const word of words) {
      const x = word.start * scale - left;
      const wide = (word.end - word.start) * scale;
      if (x > width) break;
      if (x + wide > 0) this.#context.fillRect(x, 0, wide, height);
    }
  }

  #peaks({ peaks, left, scale, time }, width, height) {
    const { values, length, loudest } = peaks;
    const [ahead, played] = [this.#colour("--wave"), this.#colour("--accent")];
    const each = (BAR / scale) * PEAK_RATE; // peaks a bar
    for (let bar = Math.floor(left / BAR); bar * BAR < left + width; bar++) {
      const begin = Math.floor(bar * each);
      if (begin >= length) break;
      const peak = largest(values, begin, Math.max(begin + 1, Math.min(length, (bar + 1) * each)));
      const share = peak / Math.max(QUIETEST, loudest);
      const tall = Math.max(THINNEST, share * (height - 2 * MARGIN));
      this.#context.fillStyle = bar * BAR < time * scale ? played : ahead;
      this.#context.fillRect(bar * BAR - left, (height - tall) / 2, BAR - 1, tall);
    }
  }

  #colour(name) {
    return getComputedStyle(this.#canvas).getPropertyValue(name);
  }
}

function largest(values, begin, end) {
  let found = 0;
  for (let i = begin; i < end; i++) found = Math.max(found, values[i]);
  return found;
}
