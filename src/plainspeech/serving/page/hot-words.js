/** The box of hot words, which the browser remembers. */

const KEY = "plainspeech.hot-words"; // in localStorage

export class HotWords {
  #box;
  #count;

  /**
   * @param {HTMLTextAreaElement} box
   * @param {HTMLElement} count shows how many there are
   */
  constructor(box, count) {
    this.#box = box;
    this.#count = count;
    box.value = localStorage.getItem(KEY) ?? "";
    box.addEventListener("input", () => {
      localStorage.setItem(KEY, box.value);
      this.#tell();
    });
    this.#tell();
  }

  /** Lines as the server takes them. */
  get lines() {
    return this.#box.value;
  }

  #tell() {
    const lines = this.lines.split("\n").filter((line) => line.trim()).length;
    this.#count.textContent = lines ? `(${lines})` : "";
  }
}
