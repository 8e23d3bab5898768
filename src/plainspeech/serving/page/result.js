/** The recording that is shown: its player, waveform, words, text and downloads. */

import { copied } from "./clipboard.js";
import { RATE } from "./microphone.js";
import { Player } from "./player.js";
import { joined, Peaks, wav } from "./sound.js";
import { render } from "./subtitles.js";
import { Text } from "./text.js";
import { Timeline } from "./timeline.js";

const ZOOM = 1.5;

const $ = (id) => document.getElementById(id);

/**
 * A recording has a `name`, a `duration` in seconds, `segments` and all their `words` in the order
 * of their starts, in which those of several channels overlap; that of live speech has `portions`
 * of samples and their `peaks` besides.
 */
export class Result {
  #recording = null;
  #player;
  #timeline;
  #text;

  constructor() {
    const hear = (word) => this.#player.hear(word);
    const elements = { play: $("play"), position: $("position"), time: $("time") };
    this.#player = new Player($("audio"), elements, (seconds) => this.#follow(seconds));
    const seek = (seconds) => this.#player.seek(seconds);
    this.#timeline = new Timeline($("strip"), { word: hear, seek });
    this.#text = new Text($("text"), hear);
    $("zoom-in").addEventListener("click", () => this.#timeline.zoom(ZOOM));
    $("zoom-out").addEventListener("click", () => this.#timeline.zoom(1 / ZOOM));
    $("zoom-fit").addEventListener("click", () => this.#timeline.fit());
    $("spectral").addEventListener("click", ({ target }) => {
      const isOn = target.getAttribute("aria-pressed") !== "true";
      target.setAttribute("aria-pressed", String(isOn));
      this.#timeline.spectral = isOn;
    });
    for (const button of document.querySelectorAll("[data-format]")) {
      button.addEventListener("click", () => this.#download(button.dataset.format));
    }
  }

  /** What is shown; null for nothing. */
  get recording() {
    return this.#recording;
  }

  /** Show the title of a recording that is being transcribed, in place of the one before. */
  begin(name) {
    this.#show({ name, duration: 0, segments: [] });
    $("result").classList.add("growing");
    $("result-title").textContent = name;
  }

  /** Show the next segments of a recording that is being transcribed. */
  append(segments) {
    this.#recording.segments.push(...segments);
    this.#recording.duration = segments.at(-1).words.at(-1).end; // so far
    this.#text.append(segments);
  }

  /** Show a recording in place of the one before. */
  show(name, duration, segments) {
    this.#show({ name, duration, segments });
    $("result-title").textContent = name;
    $("nothing").hidden = segments.length > 0;
  }

  /** Get ready for live speech, which continues after the speech so far. */
  listen() {
    if (!this.#recording?.portions) {
      const peaks = new Peaks(RATE);
      this.#show({ name: "speech", duration: 0, segments: [], portions: [], peaks });
      $("result-title").textContent = "What you said";
    }
    $("nothing").hidden = $("spectral").hidden = true;
    this.#timeline.samples = null; // what grows has a waveform
    this.#player.unload();
  }

  /** Take the next samples of live speech. */
  hear(samples) {
    const recording = this.#recording;
    recording.portions.push(samples);
    recording.peaks.add(samples, 32768);
    recording.duration += samples.length / RATE;
    this.#timeline.grow(recording.duration);
    this.#player.grow(recording.duration);
  }

  /** Take the next segment of live speech. */
  add(words) {
    this.#recording.segments.push({ words });
    this.#recording.words.push(...words);
    this.#text.show(this.#recording.segments);
    this.#timeline.words = this.#recording.words;
  }

  /** Let live speech be played, if there was any. */
  async finish() {
    if (!this.#recording?.duration) return this.clear();
    $("nothing").hidden = this.#recording.segments.length > 0;
    const { peaks, portions } = this.#recording;
    this.sound = { peaks, samples: joined(portions) };
    await this.#player.load(wav(portions, RATE));
  }

  /** Let the recording be played from `file`; return whether this browser can. */
  async load(file) {
    return !Number.isNaN(await this.#player.load(file));
  }

  /** The `peaks` of the waveform and the `samples` of the spectrogram; null for neither. */
  set sound(sound) {
    this.#timeline.peaks = sound?.peaks ?? null;
    this.#timeline.samples = sound?.samples ?? null;
    $("spectral").hidden = !sound;
  }

  /** Put the text on the clipboard; return whether the browser did. */
  copy() {
    return copied(render(this.#recording, "txt"));
  }

  /** Show nothing. */
  clear() {
    this.#recording = null;
    this.#player.unload();
    $("result").hidden = true;
  }

  #show(recording) {
    const words = recording.segments.flatMap((segment) => segment.words);
    words.sort((one, other) => one.start - other.start);
    this.#recording = { ...recording, words };
    this.#player.unload();
    $("result").hidden = false;
    $("result").classList.remove("growing");
    $("nothing").hidden = $("spectral").hidden = true;
    document.querySelector("[data-format=wav]").hidden = !recording.portions;
    this.#text.show(recording.segments);
    this.#timeline.show(recording.duration, recording.peaks ?? null, words);
  }

  #follow(seconds) {
    if (!this.#recording) return;
    const { words } = this.#recording;
    const after = words.findIndex((word) => word.start > seconds + 0.01);
    const place = (after < 0 ? words.length : after) - 1;
    this.#timeline.time = seconds;
    const isSaid = words[place]?.end > seconds;
    this.#timeline.current = isSaid ? place : -1;
    this.#text.current = isSaid ? words[place] : null;
  }

  #download(format) {
    const { name, portions } = this.#recording;
    const isSound = format === "wav";
    const content = isSound ? wav(portions, RATE) : new Blob([render(this.#recording, format)]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = `${name}.${format}`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
