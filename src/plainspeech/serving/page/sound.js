/** Sound as the waveform and the spectrogram show it, and as a file. */

import { RATE } from "./microphone.js";

/** Peaks a second. */
export const PEAK_RATE = 200;

const LONGEST = 3600; // seconds; browsers decode a whole file at once, into memory

/** The loudest sample, 0 to 1, in each 1 / `PEAK_RATE` s of a recording. */
export class Peaks {
  values = new Float32Array(PEAK_RATE * 60);
  length = 0;
  /** The largest of all. */
  loudest = 0;
  #peak = 0; // of the samples that are not in `values` yet
  #samples = 0;
  #rate;

  /** @param {number} rate Hz, of the samples */
  constructor(rate) {
    this.#rate = rate;
  }

  /** Take the next samples, whose largest is `full`. */
  add(samples, full = 1) {
    const each = this.#rate / PEAK_RATE;
    for (const sample of samples) {
      this.#peak = Math.max(this.#peak, Math.abs(sample) / full);
      if (++this.#samples >= each) this.#push();
    }
  }

  #push() {
    if (this.length === this.values.length) {
      const longer = new Float32Array(2 * this.length);
      longer.set(this.values);
      this.values = longer;
    }
    this.values[this.length++] = this.#peak;
    this.loudest = Math.max(this.loudest, this.#peak);
    this.#peak = this.#samples = 0;
  }
}

/**
 * Return the `peaks` of a file of `duration` seconds, of its loudest channel at each moment, and
 * the `samples` of the mean of its channels, 16 bits at `RATE`; null if this browser cannot tell.
 */
export async function soundOf(file, duration) {
  if (duration > LONGEST) return null;
  try {
    const context = new OfflineAudioContext(1, 1, RATE);
    const sound = await context.decodeAudioData(await file.arrayBuffer());
    const samples = meanOf(sound);
    const peaks = new Peaks(RATE);
    peaks.add(loudestOf(sound));
    return { peaks, samples };
  } catch {
    return null;
  }
}

/** Return the mean of the channels in 16 bits. */
function meanOf(sound) {
  const mean = new Int16Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    const factor = 32767 / sound.numberOfChannels;
    sound.getChannelData(channel).forEach((sample, i) => {
      mean[i] += Math.max(-1, Math.min(1, sample)) * factor;
    });
  }
  return mean;
}

/** Return 16-bit samples that are given in portions. */
export function joined(portions) {
  const samples = new Int16Array(portions.reduce((sum, { length }) => sum + length, 0));
  let length = 0;
  for (const portion of portions) {
    samples.set(portion, length);
    length += portion.length;
  }
  return samples;
}

/** Return the samples of one channel, each that of the loudest channel at its time. */
function loudestOf(sound) {
  const loudest = sound.getChannelData(0);
  for (let channel = 1; channel < sound.numberOfChannels; channel++) {
    sound.getChannelData(channel).forEach((sample, i) => {
      if (Math.abs(sample) > Math.abs(loudest[i])) loudest[i] = sample;
    });
  }
  return loudest;
}

/** Return a WAV file of 16-bit mono samples, given in portions. */
export function wav(portions, rate) {
  const bytes = portions.reduce((sum, portion) => sum + portion.byteLength, 0);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, name) => [...name].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channel
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true); // bytes of a sample
  header.setUint16(34, 16, true); // bits
  text(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...portions], { type: "audio/wav" });
}
