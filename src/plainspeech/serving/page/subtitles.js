/**
 * Transcripts as files: the formats of plainspeech/writers.py, which says why subtitles are as they
 * are.
 *
 * A transcript has `segments` of `words` ({text, start, end, confidence}), each with a `channel`
 * where channels were transcribed separately, and a `duration`.
 */

const LINE = 42; // characters
const SHORTEST = 1.0; // seconds
const LONGEST = 7.0; // seconds
const READING_SPEED = 17.0; // characters a second
const PAUSE = 1.0; // seconds; one that always ends a cue
const MOST_WORDS = 2 * LINE;

const writers = {
  txt: ({ segments }) =>
    segments.map((segment) => `${labelOf(segment)}${textOf(segment)}\n`).join(""),
  srt: (transcript) =>
    cuesOf(transcript)
      .map((cue, i) => `${i + 1}\n${written(cue, ",", (line) => line.replaceAll("-->", "->"))}`)
      .join("\n"),
  vtt: (transcript) =>
    ["WEBVTT\n", ...cuesOf(transcript).map((cue) => written(cue, ".", escaped))].join("\n"),
  json: ({ segments, duration }) => {
    const text = segments.map(textOf).join(" ");
    const confidence = confidenceOf(segments.flatMap((segment) => segment.words));
    const values = { text, duration, confidence, segments: segments.map(valuesOf) };
    return `${JSON.stringify(values, null, 1)}\n`;
  },
};

/** Return `transcript` as a file of one of txt, srt, vtt and json. */
export function render(transcript, format) {
  return writers[format](transcript);
}

function labelOf({ channel }) {
  return channel ? `[${channel}] ` : "";
}

function textOf(segment) {
  return segment.words.map((word) => word.text).join(" ");
}

function valuesOf(segment) {
  const { words } = segment;
  const [start, end, confidence] = [words[0].start, words.at(-1).end, confidenceOf(words)];
  const own = words.map(({ text, start, end, confidence }) => ({ text, start, end, confidence }));
  const { channel } = segment;
  return { start, end, channel, text: textOf(segment), confidence, words: own };
}

/** Return the share of `words` that are probably right. */
function confidenceOf(words) {
  const sum = words.reduce((total, word) => total + word.confidence, 0);
  return words.length ? Number((sum / words.length).toFixed(4)) : 0;
}

/** Return cues in the order of their starts; each channel has its own. */
function cuesOf({ segments, duration }) {
  const labels = [...new Set(segments.map(labelOf))];
  const cues = labels.flatMap((label) => {
    const own = segments.filter((segment) => labelOf(segment) === label);
    return cuesOfChannel(own.flatMap((segment) => segment.words), label, duration);
  });
  return cues.sort((one, other) => one.start - other.start);
}

function cuesOfChannel(words, label, duration) {
  const groups = runsOf(words).flatMap((run) => parted(run, label));
  return groups.map((group, i) => {
    const lines = linesOf(textsOf(group, label));
    const following = i + 1 < groups.length ? groups[i + 1][0].start : duration;
    const readable = Math.max(SHORTEST, lengthOf(lines) / READING_SPEED);
    const start = group[0].start;
    return { start, end: Math.max(group.at(-1).end, Math.min(start + readable, following)), lines };
  });
}

/** Return `words` from one long pause to the next. */
function runsOf(words) {
  const runs = [];
  words.forEach((word, i) => {
    if (i === 0 || word.start - words[i - 1].end >= PAUSE) runs.push([]);
    runs.at(-1).push(word);
  });
  return runs;
}

/** Return `words` in the groups that cost least together, by dynamic programming. */
function parted(words, label) {
  const best = [0, ...words.map(() => Infinity)];
  const begins = [0, ...words.map(() => 0)];
  for (let end = 1; end <= words.length; end++) {
    for (let start = end - 1; start >= Math.max(0, end - MOST_WORDS); start--) {
      const cost = costOf(words.slice(start, end), words[end]?.start, label);
      if (cost === null) break; // nor would more words fit
      if (best[start] + cost < best[end]) {
        best[end] = best[start] + cost;
        begins[end] = start;
      }
    }
  }
  const groups = [];
  for (let end = words.length; end > 0; end = begins[end]) {
    groups.push(words.slice(begins[end], end));
  }
  return groups.reverse();
}

/** Return the texts of `words`, the label before the first. */
function textsOf(words, label) {
  return words.map((word, i) => (i ? word.text : `${label}${word.text}`));
}

function costOf(words, following, label) {
  const start = words[0].start;
  const end = words.at(-1).end;
  const lines = linesOf(textsOf(words, label));
  if (lines === null || (words.length > 1 && end - start > LONGEST)) return null;
  let cost = 1;
  let last = Infinity;
  if (following !== undefined) {
    cost = 2 - Math.min(following - end, PAUSE) / PAUSE;
    last = Math.max(end, following);
  }
  cost += Math.max(0, SHORTEST - (last - start)) * 4;
  cost += Math.max(0, lengthOf(lines) / READING_SPEED - (last - start));
  return cost + Math.abs(lines[0].length - lines.at(-1).length) / LINE;
}

/** Return `words` on one line, or on two of like lengths; null if they do not fit. */
function linesOf(words) {
  const whole = words.join(" ");
  if (whole.length <= LINE || words.length === 1) return [whole];
  if (whole.length > 2 * LINE + 1) return null;
  let best = null;
  for (let i = 1; i < words.length; i++) {
    const lines = [words.slice(0, i).join(" "), words.slice(i).join(" ")];
    const fits = Math.max(lines[0].length, lines[1].length) <= LINE;
    if (fits && (best === null || difference(lines) < difference(best))) best = lines;
  }
  return best;
}

function difference([first, second]) {
  return Math.abs(first.length - second.length);
}

function lengthOf(lines) {
  return lines.reduce((sum, line) => sum + line.length, 0);
}

function written(cue, point, safe) {
  const times = `${clock(cue.start, point)} --> ${clock(cue.end, point)}`;
  return [times, ...cue.lines.map(safe)].map((line) => `${line}\n`).join("");
}

function clock(seconds, point) {
  const milliseconds = Math.round(seconds * 1000);
  const whole = Math.floor(milliseconds / 1000);
  const pad = (number, digits = 2) => String(number).padStart(digits, "0");
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return `${parts.map((part) => pad(part)).join(":")}${point}${pad(milliseconds % 1000, 3)}`;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
