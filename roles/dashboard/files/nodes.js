// What is known of each node: its state now, and the last minutes of its figures.

import { SPAN } from "./spark.js";

export const TRACKED = ["cpu", "memory", "disk", "received", "sent"];
const GAP = 12; // seconds without a sample that are drawn as a hole

/** The last minutes of some figures: `times` in seconds of the parent's clock, and a column of values for each figure. */
export class Track {
  constructor(keys) {
    this.times = [];
    this.columns = Object.fromEntries(keys.map((key) => [key, []]));
  }

  push(time, values) {
    const last = this.times.at(-1) ?? 0;
    if (time <= last) {
      return;
    }
    if (last > 0 && time - last > GAP) {
      this.append(last + 1, {}); // a hole is drawn as one
    }
    this.append(time, values);
    let old = 0;
    while (this.times[old] < time - SPAN - 10) {
      old += 1;
    }
    if (old > 32) {
      this.times.splice(0, old);
      for (const column of Object.values(this.columns)) {
        column.splice(0, old);
      }
    }
  }

  append(time, values) {
    this.times.push(time);
    for (const [key, column] of Object.entries(this.columns)) {
      column.push(values[key] ?? null);
    }
  }

  /** Put what the parent remembers before what was seen here. */
  prepend(times, columns) {
    const first = this.times[0] ?? Infinity;
    let count = 0;
    while (count < times.length && times[count] < first) {
      count += 1;
    }
    this.times = [...times.slice(0, count), ...this.times];
    for (const [key, column] of Object.entries(this.columns)) {
      const past = columns[key]?.slice(0, count) ?? new Array(count).fill(null);
      this.columns[key] = [...past, ...column];
    }
  }
}

export class Node {
  constructor(entry) {
    this.name = entry.name;
    this.state = "wait";
    this.age = null;
    this.reason = "";
    this.figures = { cpu: null, memory: null, disk: null, received: null, sent: null, requests: null };
    this.sample = null;
    this.requests = null; // per second, by kind
    this.alarms = [];
    this.history = "none"; // none, asked, there
    this.track = new Track(TRACKED);
    this.requestsTrack = new Track(["requests"]);
    this.describe(entry);
  }

  describe(entry) {
    this.address = entry.address ?? "";
    this.roles = entry.roles ?? [];
  }

  get problem() {
    return this.state === "gone" || this.state === "stale" || this.alarms.length > 0;
  }

  /** Higher is worse. */
  get rank() {
    const state = { gone: 40, stale: 30, wait: 5, live: 0 }[this.state];
    return state + (this.alarms.some((alarm) => alarm.status === "critical") ? 20 : this.alarms.length > 0 ? 10 : 0);
  }

  take({ state, age, reason, moved, rates, sample }) {
    this.state = state;
    this.age = age;
    this.reason = reason;
    if (sample === null) {
      return;
    }
    this.sample = sample;
    const { figures } = this;
    figures.memory = sample.memory;
    figures.disk = sample.disk;
    if (rates) {
      figures.cpu = rates.cpu ?? figures.cpu;
      figures.received = rates.received ?? figures.received;
      figures.sent = rates.sent ?? figures.sent;
      if (rates.requests) {
        this.requests = rates.requests;
        figures.requests = Object.values(rates.requests).reduce((sum, value) => sum + value, 0);
      }
    }
    if (moved) {
      const { memory, disk } = figures;
      this.track.push(sample.time / 1000, { ...rates, memory, disk });
      if (rates?.requests) {
        this.requestsTrack.push(sample.time / 1000, { requests: figures.requests });
      }
    }
  }

  remember(series) {
    this.history = series ? "there" : "none";
    if (series) {
      this.track.prepend(series.times, series);
      for (const key of TRACKED) {
        this.figures[key] ??= series[key]?.findLast((value) => value !== null) ?? null;
      }
      if (series.requests) {
        this.requestsTrack.prepend(series.times, series);
      }
    }
  }
}
