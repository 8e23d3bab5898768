/** The transcript as text: a paragraph a segment. */

import { clock } from "./player.js";
import { isDoubtful } from "./timeline.js";

export class Text {
  #element;
  #words = [];
  #current = -1;

  /**
   * @param {HTMLElement} element
   * @param {(word) => void} onWord told which word was pressed; for keys, the strip has buttons
   */
  constructor(element, onWord) {
    this.#element = element;
    element.addEventListener("click", ({ target }) => {
      const index = this.#words.findIndex(({ span }) => span === target);
      if (index >= 0 && getSelection().isCollapsed) onWord(this.#words[index].word);
    });
  }

  /** Show `segments`. */
  show(segments) {
    this.#words = [];
    this.#current = -1;
    this.#element.replaceChildren();
    this.append(segments);
  }

  /** Show `segments` after those before. */
  append(segments) {
    this.#element.append(...segments.map((segment) => this.#paragraph(segment)));
  }

  /** The place of the word that is being said; -1 for none. */
  set current(index) {
    if (index === this.#current) return;
    this.#words[this.#current]?.span.classList.remove("current");
    this.#words[index]?.span.classList.add("current");
    this.#current = index;
  }

  #paragraph({ words }) {
    const paragraph = document.createElement("p");
    const time = document.createElement("span");
    time.className = "time";
    time.textContent = clock(words[0].start);
    paragraph.append(time);
    for (const word of words) {
      const span = document.createElement("span");
      span.textContent = word.text;
      span.classList.toggle("doubtful", isDoubtful(word));
      this.#words.push({ word, span });
      paragraph.append(" ", span);
    }
    return paragraph;
  }
}
