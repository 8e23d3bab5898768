/** Plays a recording: a button, a slider and the time. */

const BEFORE = 0.05; // seconds heard around a single word
const AFTER = 0.15;

export class Player {
  #audio;
  #elements;
  #onTime;
  #until = Infinity; // seconds, where it pauses by itself

  /**
   * @param {HTMLAudioElement} audio
   * @param {{play: HTMLButtonElement, position: HTMLInputElement, time: HTMLElement}} elements
   * @param {(seconds: number) => void} onTime told where it is
   */
  constructor(audio, elements, onTime) {
    this.#audio = audio;
    this.#elements = elements;
    this.#onTime = onTime;
    elements.play.addEventListener("click", () => this.toggle());
    elements.position.addEventListener("input", () => this.seek(elements.position.valueAsNumber));
    audio.addEventListener("play", () => this.#run());
    for (const event of ["play", "pause", "ended"]) {
      audio.addEventListener(event, () => this.#label());
    }
    for (const event of ["seeked", "timeupdate", "loadedmetadata"]) {
      audio.addEventListener(event, () => this.#tell());
    }
  }

  /** Play `source` from now on; resolves to its duration in seconds, NaN if it cannot be played. */
  load(source) {
    this.unload();
    this.#audio.src = URL.createObjectURL(source);
    this.enabled = false;
    return new Promise((resolve) => {
      this.#audio.onloadedmetadata = () => resolve(this.#audio.duration);
      this.#audio.onerror = () => resolve(NaN);
    }).then((duration) => {
      this.enabled = !Number.isNaN(duration);
      this.#tell();
      return duration;
    });
  }

  /** Let go of the recording. */
  unload() {
    this.#audio.pause();
    if (this.#audio.src) URL.revokeObjectURL(this.#audio.src);
    this.#audio.removeAttribute("src");
    this.enabled = false;
    this.#show(0, 0);
  }

  /** Show that a growing recording is `duration` seconds long. */
  grow(duration) {
    this.#show(duration, duration);
  }

  /** Whether there is something to play. */
  set enabled(value) {
    this.#elements.play.disabled = this.#elements.position.disabled = !value;
  }

  /** Play or pause. */
  toggle() {
    this.#until = Infinity;
    if (this.#audio.paused) this.#play();
    else this.#audio.pause();
  }

  /** Go to a time, seconds; a word that plays by itself ends. */
  seek(seconds) {
    if (this.#until !== Infinity) this.#audio.pause();
    this.#until = Infinity;
    this.#audio.currentTime = seconds;
  }

  /** Play one word; where it plays already, continue from there. */
  hear(word) {
    if (this.#elements.play.disabled) return;
    const isPlaying = !this.#audio.paused && this.#until === Infinity;
    this.#audio.currentTime = Math.max(0, word.start - BEFORE);
    this.#until = isPlaying ? Infinity : word.end + AFTER;
    this.#play();
  }

  #play() {
    this.#audio.play().catch(() => {}); // which says that a pause came before it began
  }

  #run() {
    if (this.#audio.paused) return;
    if (this.#audio.currentTime >= this.#until) this.#audio.pause();
    this.#tell();
    requestAnimationFrame(() => this.#run());
  }

  #label() {
    this.#elements.play.setAttribute("aria-label", this.#audio.paused ? "Play" : "Pause");
    this.#elements.play.classList.toggle("playing", !this.#audio.paused);
  }

  #tell() {
    const { currentTime, duration } = this.#audio;
    this.#show(currentTime, duration || 0);
    this.#onTime(currentTime);
  }

  #show(seconds, duration) {
    this.#elements.position.max = duration;
    this.#elements.position.value = seconds;
    this.#elements.position.setAttribute("aria-valuetext", clock(seconds));
    this.#elements.time.textContent = `${clock(seconds)} / ${clock(duration)}`;
  }
}

/** Return `seconds` as people read them, such as 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, i) => String(part).padStart(i ? 2 : 1, "0")).join(":");
}
