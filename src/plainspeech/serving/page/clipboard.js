/** The clipboard. */

/** Put `text` on it; return whether the browser did. */
export async function copied(text) {
  if (!navigator.clipboard) return copiedFromField(text); // the page is not from https or localhost
  return navigator.clipboard.writeText(text).then(
    () => true,
    () => false,
  );
}

/** As `copied`, the old way, which copies what is selected. */
function copiedFromField(text) {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.className = "hidden";
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused.focus();
  return done;
}
