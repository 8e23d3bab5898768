/** Where the words stand under the waveform: at their times, and in several lanes. */

const LANES = 3;
const GAP = 4; // CSS pixels between words
const LEAST = 6; // CSS pixels that are left of a word which has no room

/**
 * Return for each word its `x`, `lane`, `width`, and the `room` that it has in its lane.
 * @param {{start: number}[]} words
 * @param {number} scale CSS pixels a second
 * @param {number[]} widths CSS pixels that each word takes if it may
 */
export function placed(words, scale, widths) {
  const places = [];
  const last = new Array(LANES).fill(null); // place in each lane
  const right = (place) => (place === null ? -Infinity : place.x + place.width + GAP);
  words.forEach((word, i) => {
    const x = word.start * scale;
    let lane = last.findIndex((place) => right(place) <= x);
    if (lane < 0) {
      lane = last.reduce((best, place, n) => (right(place) < right(last[best]) ? n : best), 0);
      last[lane].room = Math.max(LEAST, x - last[lane].x - GAP);
    }
    places.push((last[lane] = { x, lane, width: widths[i], room: Infinity }));
  });
  return places.map((place) => ({ ...place, room: Math.min(place.room, place.width) }));
}
