/** The bar of a task: it glides from one share of it that is known to the next. */

const LONGEST = 1000; // milliseconds of a glide

export class Progress {
  #bar;
  #from = 0;
  #to = 0;
  #since = 0; // milliseconds, when the glide began
  #lasts = 0; // milliseconds
  #frame = 0;

  /** @param {HTMLProgressElement} bar */
  constructor(bar) {
    this.#bar = bar;
  }

  /** Begin a task of which nothing is done. */
  begin() {
    cancelAnimationFrame(this.#frame);
    this.#since = performance.now();
    this.#bar.value = 0;
  }

  /** Show that it is not known how much is done. */
  wait() {
    this.begin();
    this.#bar.removeAttribute("value");
  }

  /** Show that `share`, 0 to 1, is done: in as long as it took, so that the bar never halts long. */
  reach(share) {
    cancelAnimationFrame(this.#frame);
    const now = performance.now();
    const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#lasts = isCalm ? 0 : Math.min(LONGEST, now - this.#since);
    [this.#from, this.#to, this.#since] = [this.#bar.value, share, now];
    this.#draw();
  }

  #draw() {
    const passed = performance.now() - this.#since;
    const part = passed < this.#lasts ? passed / this.#lasts : 1;
    this.#bar.value = this.#from + part * (this.#to - this.#from);
    if (part < 1) this.#frame = requestAnimationFrame(() => this.#draw());
  }
}
