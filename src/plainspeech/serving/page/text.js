/** The transcript as text: a paragraph a segment. */

import { clock } from "./player.js";
import { isDoubtful } from "./timeline.js";

export class Text {
  #element;
  #words = [];
  #current = null;

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
    this.#current = null;
    this.#element.replaceChildren();
    this.append(segments);
  }

  /** Show `segments` after those before. */
  append(segments) {
    this.#element.append(...segments.map((segment) => this.#paragraph(segment)));
  }

  /** The word that is being said; null for none. */
  set current(word) {
    if (word === this.#current) return;
    this.#spanOf(this.#current)?.classList.remove("current");
    this.#spanOf(word)?.classList.add("current");
    this.#current = word;
  }

  #spanOf(word) {
    return this.#words.find((shown) => shown.word === word)?.span;
  }

  #paragraph({ channel, words }) {
    const paragraph = document.createElement("p");
    const time = document.createElement("span");
    time.className = "time";
    time.textContent = clock(words[0].start);
    paragraph.append(time);
    if (channel) {
      const label = document.createElement("span");
      label.className = "channel";
      label.textContent = `Channel ${channel}`;
      paragraph.append(label);
    }
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
