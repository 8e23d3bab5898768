/** The spectrogram of what is in view of a recording: seconds across, the mel scale upwards. */

import { RATE } from "./microphone.js";

const WINDOW = 512; // samples: 32 ms
const RANGE = 75; // dB below the loudest tone there could be, from which on it is as silence
const MARKED = [1000, 2000, 4000]; // Hz
const WORD = 3; // CSS pixels, height of the bars at the times of words

const mel = (hertz) => Math.log1p(hertz / 700);
const hann = Float32Array.from({ length: WINDOW }, (_, i) => Math.sin((Math.PI * i) / WINDOW) ** 2);

export class Spectrogram {
  #picture = document.createElement("canvas");
  #drawn = ""; // what the picture is of
  #samples = null;

  /**
   * Draw it.
   * @param {CanvasRenderingContext2D} context
   * @param {{left: number, scale: number, samples: Int16Array,
   *   peaks: import("./sound.js").Peaks, words: object[]}} view as of `Waveform`
   * @param {{width: number, height: number}} size CSS pixels
   * @param {(name: string) => string} colour
   */
  draw(context, view, { width, height }, colour) {
    const colours = [colour("--paper"), colour("--ink")];
    const size = [Math.round(width), Math.round(height)];
    const wanted = [view.left, view.scale, ...size, ...colours].join();
    if (wanted !== this.#drawn || view.samples !== this.#samples) {
      this.#paint(view, size, colours);
      [this.#drawn, this.#samples] = [wanted, view.samples];
    }
    context.drawImage(this.#picture, 0, 0, width, height);
    context.fillStyle = colour("--accent");
    for (const { start, end } of view.words) {
      const x = start * view.scale - view.left;
      context.fillRect(x, height - WORD, (end - start) * view.scale, WORD);
    }
    mark(context, height, colours);
  }

  #paint({ left, scale, samples, peaks }, [width, height], colours) {
    [this.#picture.width, this.#picture.height] = [width, height];
    const context = this.#picture.getContext("2d");
    const [paper, ink] = colours.map((name) => channelsOf(context, name));
    const image = context.createImageData(width, height);
    const loudest = (Math.max(peaks.loudest, 1 / 32768) * 32768 * WINDOW) / 4;
    const bins = binsOf(height);
    for (let x = 0; x < width; x++) {
      const centre = Math.round(((left + x + 0.5) / scale) * RATE);
      if (centre >= samples.length) break;
      const powers = powersAt(samples, centre);
      for (let y = 0; y < height; y++) {
        const power = powerAt(powers, bins[y], bins[y + 1]) / loudest ** 2;
        const decibels = 10 * Math.log10(power + 1e-12);
        const share = Math.max(0, Math.min(1, 1 + decibels / RANGE));
        const pixel = paper.map((value, i) => value + share * (ink[i] - value));
        image.data.set([...pixel, 255], 4 * (y * width + x));
      }
    }
    context.putImageData(image, 0, 0);
  }
}

/** Return the share of the height, from the top, at which a frequency stands. */
export function heightOf(hertz) {
  return 1 - mel(hertz) / mel(RATE / 2);
}

/** Return the places in a spectrum of the edges of `rows` rows, from the top. */
function binsOf(rows) {
  return Array.from({ length: rows + 1 }, (_, y) => {
    const hertz = 700 * Math.expm1((1 - y / rows) * mel(RATE / 2));
    return (hertz * WINDOW) / RATE;
  });
}

/** Return the greatest power between two places; where no bin lies there, from its neighbours. */
function powerAt(powers, high, low) {
  let power = 0;
  for (let bin = Math.ceil(low); bin <= high; bin++) power = Math.max(power, powers[bin]);
  if (power) return power;
  const bin = Math.min(Math.floor(low), powers.length - 2);
  return powers[bin] + (low - bin) * (powers[bin + 1] - powers[bin]);
}

/** Return the powers of the frequencies 0 to `RATE` / 2 around a sample, in a Hann window. */
export function powersAt(samples, centre) {
  const real = new Float32Array(WINDOW);
  const imaginary = new Float32Array(WINDOW);
  const begin = centre - WINDOW / 2;
  for (let i = 0; i < WINDOW; i++) real[reversed[i]] = hann[i] * (samples[begin + i] ?? 0);
  transform(real, imaginary);
  return Float32Array.from({ length: WINDOW / 2 + 1 }, (_, i) => real[i] ** 2 + imaginary[i] ** 2);
}

const reversed = Uint16Array.from({ length: WINDOW }, (_, i) => {
  const bits = i.toString(2).padStart(Math.log2(WINDOW), "0");
  return parseInt([...bits].reverse().join(""), 2);
});
const angles = Array.from({ length: WINDOW / 2 }, (_, i) => (2 * Math.PI * i) / WINDOW);
const cosines = Float32Array.from(angles, Math.cos);
const sines = Float32Array.from(angles, Math.sin);

/** The fast Fourier transform (Cooley and Tukey, 1965), in place, of bit-reversed values. */
function transform(real, imaginary) {
  for (let half = 1; half < WINDOW; half *= 2) {
    for (let block = 0; block < WINDOW; block += 2 * half) {
      for (let i = 0; i < half; i++) {
        const turn = (i * WINDOW) / (2 * half);
        const [one, other] = [block + i, block + i + half];
        const x = real[other] * cosines[turn] + imaginary[other] * sines[turn];
        const y = imaginary[other] * cosines[turn] - real[other] * sines[turn];
        real[other] = real[one] - x;
        imaginary[other] = imaginary[one] - y;
        real[one] += x;
        imaginary[one] += y;
      }
    }
  }
}

function mark(context, height, [paper, ink]) {
  context.font = "10px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  [context.strokeStyle, context.fillStyle] = [paper, ink];
  for (const hertz of MARKED) {
    const [text, y] = [`${hertz / 1000} kHz`, heightOf(hertz) * height];
    context.strokeText(text, 4, y);
    context.fillText(text, 4, y);
  }
}

/** Return red, green and blue of a colour, 0 to 255. */
function channelsOf(context, colour) {
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
}
