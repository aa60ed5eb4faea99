// Sparklines: the last minutes of some figures, as SVG. A canvas for each would be a layer of its own in the browser's
// compositor, and with some thirty of them on the screen scrolling stumbles.

import { draw, setAttribute } from "./dom.js";

export const SPAN = 300; // seconds
const STEP = 2; // seconds that share a point of a line: about what share a pixel

/** All rows in one drawing, each in a band of its own: a second is one wide, a row is one high. */
export class Spark {
  constructor(rows) {
    this.rows = rows.map((row) => ({
      ...row,
      area: draw("path", { class: "area", "data-figure": row.tracks[0] }),
      lines: row.tracks.map((key) => draw("path", { class: "line", "data-figure": key })),
    }));
    const paths = this.rows.flatMap(({ area, lines }) => [area, ...lines]);
    this.element = draw("svg", { viewBox: `0 0 ${SPAN} ${rows.length}`, preserveAspectRatio: "none" }, ...paths);
  }

  /** `end` is the right edge in seconds. */
  show(end, track) {
    for (const [index, row] of this.rows.entries()) {
      const found = row.tracks.map((key) => runs(track.times, track.columns[key], end - SPAN));
      const highest = row.top ?? Math.max(row.floor, ...found.flat(2).map((point) => point.value));
      const lines = found.map((some) => some.map((run) => path(run, index + 1, highest * 1.2))); // some air over it
      for (const [position, line] of row.lines.entries()) {
        setAttribute(line, "d", lines[position].join(""));
      }
      const areas = found[0].map((run, at) => `${lines[0][at]}V${index + 1}H${run[0].second}Z`);
      setAttribute(row.area, "d", areas.join(""));
    }
  }
}

/** Return the points of a line from `begin` on, in runs without a hole; a point is the highest value of its STEP. */
function runs(times, column, begin) {
  const found = [];
  let run = null;
  for (const [index, value] of column.entries()) {
    if (value === null) {
      run = null;
    } else if (times[index] >= begin) {
      const second = Math.floor(times[index] / STEP) * STEP - begin;
      if (run === null) {
        found.push((run = []));
      }
      const last = run.at(-1);
      if (last?.second === second) {
        last.value = Math.max(last.value, value);
      } else {
        run.push({ second, value });
      }
    }
  }
  return found;
}

function path(run, base, highest) {
  return `M${run.map(({ second, value }) => `${second.toFixed(1)} ${(base - value / highest).toFixed(3)}`).join("L")}`;
}
