/** The strip: a waveform with the words under it at their times. */

import { placed } from "./lanes.js";
import { Waveform } from "./waveform.js";

const USUAL = 110; // CSS pixels a second, at which words can be read
const CROWDED = 25; // below which no word can be read, and their shades alone are shown
const CLOSEST = 800;
const WIDEST_FIT = 300;

export class Timeline {
  #strip;
  #inner;
  #waveform;
  #list;
  #playhead;
  #peaks = null;
  #samples = null;
  #spectral = false;
  #words = [];
  #buttons = [];
  #widths = []; // CSS pixels that each button takes if it may
  #duration = 0;
  #scale = USUAL; // CSS pixels a second
  #time = 0;
  #current = -1;

  /**
   * @param {HTMLElement} strip with an inner element that has a canvas, the words and a playhead
   * @param {{word: (word) => void, seek: (seconds: number) => void}} handlers
   */
  constructor(strip, handlers) {
    this.#strip = strip;
    this.#inner = strip.firstElementChild;
    const [canvas, list, playhead] = this.#inner.children;
    [this.#list, this.#playhead] = [list, playhead];
    this.#waveform = new Waveform(canvas);
    strip.addEventListener("scroll", () => this.#draw());
    new ResizeObserver(() => this.#layOut()).observe(strip);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    canvas.addEventListener("click", (event) => {
      handlers.seek((event.offsetX + strip.scrollLeft) / this.#scale);
    });
    this.#list.addEventListener("click", ({ target }) => {
      const index = this.#buttons.indexOf(target);
      if (index >= 0) handlers.word(this.#words[index]);
    });
    this.#list.addEventListener("focusin", ({ target }) => this.#rove(target));
    this.#list.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Show a recording from its beginning, at a scale that fits it. */
  show(duration, peaks, words) {
    this.#duration = duration;
    this.#peaks = peaks;
    this.#samples = null;
    this.#scale = USUAL;
    this.#strip.scrollLeft = 0;
    this.words = words;
    this.time = 0;
  }

  /** The waveform; null for none. */
  set peaks(peaks) {
    this.#peaks = peaks;
    this.#draw();
  }

  /** What the spectrogram is made of; null for none. */
  set samples(samples) {
    this.#samples = samples;
    this.#draw();
  }

  /** Whether the spectrogram lies over the words, if there is one, and not the waveform. */
  set spectral(value) {
    this.#spectral = value;
    this.#draw();
  }

  /** The words, each with `text`, `start`, `end` and `confidence`. */
  set words(words) {
    this.#words = words;
    this.#buttons = words.map(buttonOf);
    this.#widths = this.#measure();
    this.#list.replaceChildren(...this.#buttons);
    this.#current = -1;
    if (words.length) this.#buttons[0].tabIndex = 0;
    this.#layOut();
  }

  /** Show more of a growing recording, and keep its end in view. */
  grow(duration) {
    this.#duration = duration;
    this.#inner.style.width = `${Math.max(this.#inner.offsetWidth, duration * this.#scale)}px`;
    this.#strip.scrollLeft = duration * this.#scale - this.#strip.clientWidth;
    this.#draw();
  }

  /** Where the player is, seconds; it is kept in view. */
  set time(seconds) {
    this.#time = seconds;
    const x = seconds * this.#scale;
    this.#playhead.style.transform = `translateX(${x}px)`;
    const { scrollLeft, clientWidth } = this.#strip;
    if (x < scrollLeft || x > scrollLeft + clientWidth * 0.95) {
      this.#strip.scrollLeft = x - clientWidth * 0.1;
    }
    this.#draw();
  }

  /** The place of the word that is being said; -1 for none. */
  set current(index) {
    if (index === this.#current) return;
    this.#buttons[this.#current]?.removeAttribute("aria-current");
    this.#buttons[index]?.setAttribute("aria-current", "true");
    this.#current = index;
  }

  /** Make everything `factor` times as wide, around the middle or the player's place. */
  zoom(factor) {
    const { scrollLeft, clientWidth } = this.#strip;
    const played = this.#time * this.#scale - scrollLeft;
    const anchor = played >= 0 && played <= clientWidth ? played : clientWidth / 2;
    const seconds = (scrollLeft + anchor) / this.#scale;
    this.#scale = Math.min(CLOSEST, this.#scale * factor);
    this.#layOut();
    this.#strip.scrollLeft = seconds * this.#scale - anchor;
  }

  /** Show the whole recording. */
  fit() {
    this.#scale = 0;
    this.#layOut();
  }

  #layOut() {
    const room = this.#strip.clientWidth;
    if (!room) return;
    this.#waveform.width = room;
    if (!this.#duration) return this.#draw();
    this.#scale = Math.max(this.#scale, Math.min(WIDEST_FIT, room / this.#duration));
    this.#list.classList.toggle("crowded", this.#scale < CROWDED);
    let right = this.#duration * this.#scale;
    let lanes = 0; // that have words; others take no room
    for (const [i, place] of placed(this.#words, this.#scale, this.#widths).entries()) {
      lanes = Math.max(lanes, place.lane + 1);
      const { style } = this.#buttons[i];
      style.left = `${place.x}px`;
      style.maxWidth = `${place.room}px`;
      style.setProperty("--lane", place.lane);
      right = Math.max(right, place.x + Math.min(place.width, place.room));
    }
    this.#list.style.setProperty("--lanes", lanes);
    this.#inner.style.width = `${Math.max(room, Math.ceil(right))}px`;
    this.#playhead.style.transform = `translateX(${this.#time * this.#scale}px)`;
    this.#draw();
  }

  /** Return the widths of the words' buttons, without asking the browser to lay each out. */
  #measure() {
    const style = getComputedStyle(this.#list);
    const context = document.createElement("canvas").getContext("2d");
    context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const around = 2 * parseFloat(style.getPropertyValue("--word-padding")) + 2;
    return this.#words.map((word) => Math.ceil(context.measureText(word.text).width + around));
  }

  #rove(button) {
    for (const other of this.#list.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
  }

  #move(event) {
    const index = this.#buttons.indexOf(document.activeElement);
    const last = this.#buttons.length - 1;
    const places = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: last };
    const place = places[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.#buttons[Math.max(0, Math.min(last, place))].focus();
  }

  #draw() {
    this.#waveform.draw({
      left: this.#strip.scrollLeft,
      scale: this.#scale,
      time: this.#time,
      peaks: this.#peaks,
      samples: this.#spectral ? this.#samples : null,
      words: this.#words,
    });
  }
}

function buttonOf(word) {
  const button = document.createElement("button");
  button.type = "button";
  button.tabIndex = -1;
  button.textContent = word.text;
  button.classList.toggle("doubtful", isDoubtful(word));
  button.style.setProperty("--confidence", word.confidence);
  const percent = Math.round(100 * word.confidence);
  const channel = word.channel ? `, channel ${word.channel}` : "";
  const at = `at ${word.start.toFixed(1)} seconds`;
  const label = `${word.text}, ${at}, ${percent} percent sure${channel}`;
  button.setAttribute("aria-label", label);
  button.title = `${word.start.toFixed(2)} s, ${percent} %${channel}`;
  return button;
}

/** Whether `word` is more likely wrong than right, as the model sees it. */
export function isDoubtful(word) {
  return word.confidence < 0.5;
}
