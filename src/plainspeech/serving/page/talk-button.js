/**
 * A button to hold while speaking: by mouse, finger, or the space or enter key. With `latch` on,
 * and for assistive technology, which can only click, it starts and stops by turns.
 */

const SHORT = 300; // milliseconds; nobody has said anything in less

export class TalkButton {
  #button;
  #label;
  #hint;
  #latch;
  #handlers;
  #since = null; // when it was pressed; null while it is not held

  /**
   * @param {{button: HTMLButtonElement, label: HTMLElement, hint: HTMLElement,
   *   latch: HTMLInputElement}} elements
   * @param {{start: Function, stop: Function, tapped: Function}} handlers
   */
  constructor({ button, label, hint, latch }, handlers) {
    this.#button = button;
    this.#label = label;
    this.#hint = hint;
    this.#latch = latch;
    this.#handlers = handlers;
    latch.addEventListener("change", () => this.#explain());
    this.#explain();
    button.addEventListener("pointerdown", (event) => this.#pointerDown(event));
    for (const type of ["pointerup", "pointercancel", "blur"]) {
      button.addEventListener(type, () => this.#release());
    }
    button.addEventListener("keydown", (event) => this.#keyDown(event));
    button.addEventListener("keyup", (event) => isPress(event) && this.#release());
    button.addEventListener("click", (event) => this.#click(event));
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // of a long touch
  }

  /** Whether speech is taken in. */
  get pressed() {
    return this.#button.getAttribute("aria-pressed") === "true";
  }

  set pressed(value) {
    this.#button.setAttribute("aria-pressed", String(value));
    this.#latch.disabled = value;
    this.#explain();
  }

  #explain() {
    const latched = this.#latch.checked;
    this.#label.textContent = latched ? "Press to speak" : "Hold to speak";
    if (this.pressed) this.#hint.textContent = latched ? "Press to end." : "Let go to end.";
    else this.#hint.textContent = "With the mouse, a finger, or the space bar.";
  }

  #pointerDown(event) {
    if (event.button !== 0 || this.#latch.checked) return;
    this.#button.setPointerCapture(event.pointerId);
    this.#hold();
  }

  #keyDown(event) {
    if (!isPress(event)) return;
    event.preventDefault(); // no click follows
    if (event.repeat) return;
    if (this.#latch.checked) this.#toggle();
    else this.#hold();
  }

  #click(event) {
    const isAssistive = event.detail === 0; // neither pointer nor key
    if (this.#latch.checked || isAssistive) this.#toggle();
  }

  #hold() {
    if (this.pressed) return;
    this.#since = performance.now();
    this.#handlers.start();
  }

  #release() {
    if (this.#since === null) return;
    const held = performance.now() - this.#since;
    this.#since = null;
    if (held < SHORT) this.#handlers.tapped();
    else this.#handlers.stop();
  }

  #toggle() {
    if (this.pressed) this.#handlers.stop();
    else this.#handlers.start();
  }
}

function isPress(event) {
  return event.key === " " || event.key === "Enter";
}
