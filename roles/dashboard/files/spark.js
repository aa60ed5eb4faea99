// Sparklines: small uPlot charts without axes. Only what is on the screen has any; they are kept for the next tile.

const uPlot = globalThis.uPlot;
export const SPAN = 300; // seconds

const HIDDEN = { show: false };
const spare = new Map(); // rows: charts that nobody shows
let palette = null;

/** The colours of the current scheme, by the names that style.css gives them. */
export function colours() {
  if (palette === null) {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    palette = Object.fromEntries(["cpu", "memory", "disk", "received", "sent", "requests", "grid", "muted"].map((name) => [name, read(name)]));
  }
  return palette;
}

export function forgetColours() {
  palette = null;
}

/** Return `colour` (#rrggbb) with an opacity from 0 to 1. */
export function tint(colour, alpha) {
  return colour + Math.round(alpha * 255).toString(16).padStart(2, "0");
}

/** One chart for all rows of a tile: each row has a scale of its own that puts it into its band of the one canvas. */
class Spark {
  constructor(rows) {
    this.rows = rows;
    this.end = 0;
    const scales = { x: { time: false, range: () => [this.end - SPAN, this.end] } };
    const series = [{}];
    for (const [index, row] of rows.entries()) {
      scales[row.key] = { range: (_, low, high) => band(index, rows.length, row.top ?? Math.max(row.floor, high ?? 0)) };
      for (const [position, key] of row.tracks.entries()) {
        series.push({
          scale: row.key,
          stroke: () => colours()[key],
          fill: position === 0 ? () => tint(colours()[key], 0.16) : undefined,
          fillTo: 0,
          width: 1.25,
          points: HIDDEN,
        });
      }
    }
    this.holder = document.createElement("div");
    const options = { width: 100, height: 100, pxAlign: 0, padding: [0, 0, 0, 0], cursor: HIDDEN, legend: HIDDEN, select: HIDDEN };
    const axes = [HIDDEN, ...rows.map(({ key }) => ({ show: false, scale: key }))];
    this.chart = new uPlot({ ...options, axes, scales, series }, [[], ...series.slice(1).map(() => [])], this.holder);
  }

  /** `end` is the right edge in seconds. */
  draw(end, width, height, track) {
    this.end = end;
    this.chart.batch(() => {
      if (this.chart.width !== width || this.chart.height !== height) {
        this.chart.setSize({ width, height });
      }
      this.chart.setData([track.times, ...this.rows.flatMap((row) => row.tracks.map((key) => track.columns[key]))]);
    });
  }
}

/** Return the scale's limits that let 0 to `top` be band `index` of `count`, from above, with some air over it. */
function band(index, count, top) {
  const step = top * 1.2;
  return [-step * (count - 1 - index), step * (index + 1)];
}

export function takeSpark(rows, parent) {
  const spark = spare.get(rows)?.pop() ?? new Spark(rows);
  parent.append(spark.holder);
  return spark;
}

export function giveSpark(spark) {
  spark.holder.remove();
  if (!spare.has(spark.rows)) {
    spare.set(spark.rows, []);
  }
  spare.get(spark.rows).push(spark);
}
