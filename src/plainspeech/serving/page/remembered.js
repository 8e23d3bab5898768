/** What the browser remembers of a page's options. */

/** Let it remember whether `box` is checked, as `key` in localStorage. */
export function remember(box, key) {
  box.checked = localStorage.getItem(key) === "true";
  box.addEventListener("change", () => localStorage.setItem(key, String(box.checked)));
}
