/**
 * A stream's sample rate changed by band-limited interpolation: each output sample is a sum of the
 * inputs around it under a windowed sinc. The rates are integers, so only `outputRate / gcd`
 * different filters are needed; they are computed once.
 */

const CROSSINGS = 16; // zero crossings of the sinc on either side
const PASSED = 0.94; // of the lower band, which leaves room for the filter's slope

export class Resampler {
  #step; // inputs an output, as a fraction: whole + part / phases
  #phases;
  #filters;
  #half;
  #inputs;
  #filled;
  #position = 0; // of the next output, in phases from the first input that is kept

  /**
   * @param {number} inputRate Hz, whole
   * @param {number} outputRate Hz, whole
   */
  constructor(inputRate, outputRate) {
    const divisor = greatestCommonDivisor(inputRate, outputRate);
    this.#phases = outputRate / divisor;
    this.#step = inputRate / divisor;
    const cutoff = inputRate > outputRate ? (PASSED * outputRate) / inputRate : 1;
    this.#half = Math.ceil(CROSSINGS / cutoff);
    this.#filters = Array.from({ length: this.#phases }, (_, phase) =>
      filter(phase / this.#phases, cutoff, this.#half),
    );
    this.#inputs = new Float32Array(4 * this.#half + 8192);
    this.#filled = this.#half - 1; // silence before the first input, so that the two begin together
  }

  /** Return the samples that `block` completes; `half` inputs later than they came in. */
  feed(block) {
    this.#keep(block);
    const outputs = [];
    let first = Math.floor(this.#position / this.#phases);
    while (first + 2 * this.#half <= this.#filled) {
      const weights = this.#filters[this.#position % this.#phases];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * this.#inputs[first + i];
      outputs.push(sum);
      this.#position += this.#step;
      first = Math.floor(this.#position / this.#phases);
    }
    const done = Math.min(first, this.#filled);
    this.#inputs.copyWithin(0, done, this.#filled);
    this.#filled -= done;
    this.#position -= done * this.#phases;
    return outputs;
  }

  /** Return the last samples; nothing comes after. */
  finish() {
    return this.feed(new Float32Array(this.#half));
  }

  #keep(block) {
    if (this.#filled + block.length > this.#inputs.length) {
      const larger = new Float32Array(2 * (this.#filled + block.length));
      larger.set(this.#inputs.subarray(0, this.#filled));
      this.#inputs = larger;
    }
    this.#inputs.set(block, this.#filled);
    this.#filled += block.length;
  }
}

/** Return the weights of the `2 * half` inputs around an output that lies `offset` after one. */
function filter(offset, cutoff, half) {
  const weights = Float64Array.from({ length: 2 * half }, (_, i) => {
    const distance = i - (half - 1) - offset;
    const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / half);
    return sinc(cutoff * distance) * window;
  });
  const sum = weights.reduce((total, weight) => total + weight);
  return weights.map((weight) => weight / sum); // a constant stays what it is
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
