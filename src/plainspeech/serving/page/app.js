/** The page: what the user does, and what is told of it. */

import { HotWords } from "./hot-words.js";
import { LiveSession } from "./live.js";
import { Progress } from "./progress.js";
import { remember } from "./remembered.js";
import { Result } from "./result.js";
import { Server } from "./server.js";
import { soundOf } from "./sound.js";
import { TalkButton } from "./talk-button.js";

const $ = (id) => document.getElementById(id);
const server = new Server();
const hotWords = new HotWords($("hot-words"), $("hot-count"));
const progress = new Progress($("progress"));
const result = new Result();
const talk = new TalkButton(
  { button: $("talk"), label: $("talk-label"), hint: $("talk-hint"), latch: $("latch") },
  { start: speak, stop: fallSilent, tapped },
);

/** The live session that takes speech in, from the press of the button to the last word. */
let session = null;
/** How many segments had been heard before it. */
let before = 0;
/** Whether a session is being let go of, which takes a moment. */
let ending = false;
/** The AbortController of the current upload. */
let upload = null;

// ---- Recordings

async function open(file) {
  if (isBusy()) return;
  begin(`Sending ${file.name}`);
  result.clear(); // it is not the result of this file
  upload = new AbortController();
  $("work").hidden = false;
  progress.begin();
  const segments = [];
  const handlers = { sent: sent(file), segments: found(file, segments) };
  try {
    const wanted = { ...options(), separate: $("separate").checked };
    const duration = await server.transcribe(file, wanted, handlers, upload.signal);
    await show(file, duration, segments);
  } catch (error) {
    fail(error);
  } finally {
    upload = null;
    $("work").hidden = true;
    setBusy(false);
  }
}

/** Return what shows how much of `file` has been sent. */
function sent(file) {
  return (share) => {
    if (share < 1) progress.reach(share);
    else {
      progress.wait();
      tell(`Transcribing ${file.name}`);
    }
  };
}

/** Return what shows the segments of `file` as they are found, and adds them to `segments`. */
function found(file, segments) {
  return (events) => {
    const fresh = events.map(segmentOf);
    if (!segments.length) result.begin(nameOf(file));
    segments.push(...fresh);
    result.append(fresh);
    const { transcribed, duration } = events.at(-1);
    if (!duration) return;
    const share = Math.min(1, transcribed / duration);
    progress.reach(share);
    tell(`Transcribing ${file.name}: ${Math.floor(100 * share)} %`);
  };
}

/** Return a segment of the server as the page has it; `channel` only if each is by itself. */
function segmentOf({ channel, words }) {
  const renamed = ({ word, ...others }) => ({ text: word, channel, ...others });
  return { channel, words: words.map(renamed) };
}

function nameOf(file) {
  return file.name.replace(/\.[^.]*$/, "");
}

async function show(file, duration, segments) {
  result.show(nameOf(file), duration, segments);
  const words = segments.flatMap((segment) => segment.words);
  const playable = await result.load(file);
  result.sound = await soundOf(file, duration);
  const more = playable ? "" : " This browser cannot play the file.";
  tell(`${counted(words)} in ${duration.toFixed(1)} seconds of ${file.name}.${more}`);
}

function counted({ length }) {
  if (!length) return "Nothing was heard";
  return length === 1 ? "1 word" : `${length} words`;
}

// ---- Live speech

async function speak() {
  if (isBusy()) return;
  talk.pressed = true;
  begin("Opening the microphone");
  $("announced").replaceChildren();
  result.listen();
  const offset = result.recording.duration;
  before = result.recording.segments.length;
  const mine = new LiveSession(server, options(), {
    samples: (samples) => result.hear(samples),
    partial: showPartial,
    final: (event) => showFinal(event, offset),
  });
  session = mine;
  mine.finished.catch((error) => mine === session && fallOut(error));
  try {
    await mine.start();
    if (mine === session) tell("Listening");
  } catch (error) {
    if (mine === session) await fallOut(error);
  }
}

/** Take no more speech in, and wait for the text of what there was. */
async function fallSilent() {
  talk.pressed = false;
  const mine = session;
  if (!mine) return;
  if (!mine.isOpen) return giveUp("The microphone was not open yet; hold the button again.");
  tell("Finishing");
  try {
    await mine.stop();
    const heard = result.recording.segments.length > before;
    await endSpeech(`Done. ${heard ? "" : "Nothing was heard. "}Speak again to continue.`);
  } catch (error) {
    if (mine === session) await fallOut(error);
  }
}

async function tapped() {
  await giveUp("Hold the button while you speak, or choose to press once.");
}

/** End a session that failed; what was heard is kept. */
async function fallOut(error) {
  fail(error);
  await giveUp("");
}

async function giveUp(message) {
  const mine = session;
  [session, ending] = [null, true];
  talk.pressed = false;
  await mine?.abandon();
  await endSpeech(message);
}

async function endSpeech(message) {
  showPartial({ text: "", stable: "" });
  await result.finish();
  [session, ending] = [null, false];
  setBusy(false);
  tell(message);
}

function showPartial({ text, stable }) {
  $("stable").textContent = stable;
  $("tentative").textContent = text.slice(stable.length);
}

function showFinal({ text, words }, offset) {
  showPartial({ text: "", stable: "" });
  if (!words.length) return;
  const shifted = (time) => Math.round((offset + time) * 1000) / 1000;
  result.add(words.map((w) => ({ ...w, start: shifted(w.start), end: shifted(w.end) })));
  const said = document.createElement("p");
  said.textContent = text;
  $("announced").append(said);
}

// ---- What is told

function begin(message) {
  $("error").hidden = true;
  setBusy(true);
  tell(message);
}

function isBusy() {
  return Boolean(session || ending || upload);
}

/** Return what recordings and live speech are transcribed with. */
function options() {
  // The box may have some of another server at this address, which this one would refuse.
  const useful = $("hot-unused").hidden ? hotWords.lines : "";
  return { hotWords: useful, digits: $("digits").checked && !$("digits-label").hidden };
}

function setBusy(busy) {
  $("file").disabled = busy;
  $("talk").disabled = busy && !talk.pressed;
  $("result").classList.toggle("live", talk.pressed);
  $("drop").classList.toggle("busy", busy);
  $("clear").disabled = busy;
}

function tell(message) {
  $("status").textContent = message;
}

function fail(error) {
  tell("");
  if (error.name === "AbortError") return;
  $("error").textContent = error.message;
  $("error").hidden = false;
  $("token-form").hidden = !error.wantsToken;
  if (error.wantsToken) $("token").focus();
}

async function meet() {
  try {
    const model = await server.model();
    $("model").textContent = model.id;
    $("hot-unused").hidden = model.hot_words;
    $("digits-label").hidden = !model.digits;
    $("error").hidden = $("token-form").hidden = true;
  } catch (error) {
    fail(error);
  }
}

// ---- What the user does

remember($("digits"), "plainspeech.digits");
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  server.token = $("token").value;
  meet();
});

$("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = ""; // the same file may be chosen again
  if (file) open(file);
});

for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
  });
}

$("cancel").addEventListener("click", () => upload?.abort());
$("copy").addEventListener("click", async () => {
  const done = await result.copy();
  tell(done ? "The text is on the clipboard." : "The browser did not allow the text to be copied.");
});
$("clear").addEventListener("click", () => {
  result.clear();
  tell("");
});
meet();
