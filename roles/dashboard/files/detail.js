// One node, closer: its last 15 minutes, its services and alarms, and the way to all of its charts.

import { make, setAttribute, setSign, setText, sign } from "./dom.js";
import { bitRate, clock, duration, milliseconds, percent, size } from "./format.js";
import { instanceOf } from "./panels.js";
import { SIGNS, stateWords } from "./tiles.js";

const uPlot = globalThis.uPlot;
const SPAN = 900; // seconds
const HEIGHT = 150;
const bits = (value) => bitRate(value === null || value === undefined ? null : value / 8);
const CHARTS = [
  { key: "cpu", title: "CPU", unit: percent, top: 100, series: [["cpu", "used"]] },
  { key: "memory", title: "Memory", unit: percent, top: 100, series: [["memory", "used"]] },
  { key: "net", title: "Network", unit: bits, top: null, floor: 10000, factor: 8, series: [["received", "in"], ["sent", "out"]] },
  { key: "disk", title: "Disk space", unit: percent, top: 100, series: [["disk", "used"]] },
];

let palette = null;

/** The colours of the current scheme, by the names that style.css gives them. */
function colours() {
  if (palette === null) {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    palette = Object.fromEntries(["cpu", "memory", "disk", "received", "sent", "grid", "muted"].map((name) => [name, read(name)]));
  }
  return palette;
}

/** Return `colour` (#rrggbb) with an opacity from 0 to 1. */
function tint(colour, alpha) {
  return colour + Math.round(alpha * 255).toString(16).padStart(2, "0");
}

function statistics(values, unit) {
  const known = values.filter((value) => value !== null && value !== undefined);
  if (known.length === 0) {
    return "no data";
  }
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  return `average ${unit(mean)}, highest ${unit(Math.max(...known))}`;
}

class Chart {
  constructor(description) {
    this.description = description;
    this.end = 0;
    this.readout = make("span.value", { text: "–" });
    this.text = make("p.about", { text: "loading" });
    this.holder = make("div.plot", { "aria-hidden": "true" });
    this.element = make("section.chart", { "aria-label": description.title },
      make("div.head", {}, make("h3", { text: description.title }), this.readout), this.holder, this.text);
    this.data = null;
    this.plot = null;
  }

  build(width) {
    const { description } = this;
    const axis = {
      stroke: () => colours().muted,
      grid: { stroke: () => colours().grid, width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    this.plot = new uPlot(
      {
        width,
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        select: { show: false },
        cursor: { y: false, sync: { key: "nexus" }, drag: { x: false, y: false }, points: { size: 5 } },
        scales: {
          x: { time: true, range: () => [this.end - SPAN, this.end] },
          y: { range: (_, low, high) => [0, description.top ?? Math.max(description.floor, (high ?? 0) * 1.1)] },
        },
        axes: [
          { ...axis, space: 70, size: 26, values: (_, splits) => splits.map((split) => clock(split * 1000).slice(0, 5)) },
          { ...axis, size: 62, space: 34, values: (_, splits) => splits.map((split) => description.unit(split)) },
        ],
        series: [
          {},
          ...description.series.map(([name], index) => ({
            stroke: () => colours()[name],
            fill: index === 0 ? () => tint(colours()[name], 0.14) : undefined,
            width: 1.5,
            points: { show: false },
          })),
        ],
        hooks: { setCursor: [() => this.showReadout()] },
      },
      this.data,
      this.holder,
    );
  }

  take(series, end) {
    const { description } = this;
    const names = description.series.map(([name]) => name);
    if (!series[names[0]]) {
      setText(this.text, "no data");
      return;
    }
    this.end = end;
    const factor = description.factor ?? 1; // so that the axis has round numbers
    const column = (name) => (series[name] ?? series.times.map(() => null)).map((value) => (value === null ? null : value * factor));
    this.data = [series.times, ...names.map(column)];
    if (this.plot === null) {
      this.build(Math.max(200, this.holder.clientWidth));
    } else {
      this.plot.setData(this.data);
    }
    const words = description.series.map(([name, label], index) => {
      const text = statistics(this.data[index + 1], description.unit);
      return description.series.length > 1 ? `${label}: ${text}` : text;
    });
    setText(this.text, words.join("; "));
    this.showReadout();
  }

  showReadout() {
    if (this.data === null) {
      return;
    }
    const index = this.plot?.cursor.idx ?? this.data[0].length - 1;
    const values = this.description.series.map(([, label], row) => {
      const text = this.description.unit(this.data[row + 1][index] ?? null);
      return this.description.series.length > 1 ? `${label} ${text}` : text;
    });
    const at = this.plot?.cursor.idx == null ? "" : `${clock(this.data[0][index] * 1000)}  `;
    setText(this.readout, at + values.join("  "));
  }

  resize() {
    if (this.plot !== null && this.holder.clientWidth > 0) {
      this.plot.setSize({ width: this.holder.clientWidth, height: HEIGHT });
    }
  }

  destroy() {
    this.plot?.destroy();
  }
}

export class Detail {
  /** `links.charts(name)`: where a node's charts are; `watch(name)` asks for its data, "" for no more. */
  constructor(dialog, links, watch) {
    this.dialog = dialog;
    this.links = links;
    this.watch = watch;
    this.node = null;
    this.charts = [];
    dialog.addEventListener("close", () => this.closed());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) {
        dialog.close();
      }
    });
    new ResizeObserver(() => {
      for (const chart of this.charts) {
        chart.resize();
      }
    }).observe(dialog);
  }

  open(node, config) {
    if (this.node === node) {
      return;
    }
    this.clear();
    this.node = node;
    this.config = config;
    this.sign = sign("wait");
    this.state = make("span.state");
    this.facts = make("dl.facts");
    this.list = make("ul.notes");
    this.charts = CHARTS.map((description) => new Chart(description));
    const close = make("button.icon-button", { type: "button", "aria-label": "Close", title: "Close (Esc)" });
    close.append(cross());
    close.addEventListener("click", () => this.dialog.close());
    this.dialog.replaceChildren(
      make("div.inner", {},
        make("div.head", {}, this.sign, make("h2", { id: "detail-title", text: node.name }), this.state,
          make("a.button", { href: this.links.charts(node.name), target: "_blank", rel: "noopener", text: "All charts" }), close),
        this.facts, this.list,
        make("p.about.range", { text: "The last 15 minutes" }),
        make("div.plots", {}, ...this.charts.map((chart) => chart.element))),
    );
    this.dialog.dataset.node = node.name;
    this.update();
    if (!this.dialog.open) {
      this.dialog.showModal();
    }
    this.watch(node.name);
  }

  update() {
    const { node } = this;
    if (node === null) {
      return;
    }
    setSign(this.sign, SIGNS[node.state]);
    setAttribute(this.dialog, "data-state", node.state);
    setText(this.state, node.reason && node.state !== "live" ? `${stateWords(node)}: ${node.reason}` : stateWords(node));
    const { sample } = node;
    this.showFacts({
      Address: node.address,
      Roles: node.roles.join(", "),
      "Up for": duration(sample?.uptime),
      Load: sample?.load == null ? "–" : sample.load.toFixed(2),
      Memory: sample?.memoryTotal ? `${size(sample.memoryUsed)} of ${size(sample.memoryTotal)}` : "–",
      "Fullest disk": sample?.diskPath ? `${sample.diskPath} ${percent(sample.disk)}` : "–",
    });
    const services = Object.entries(this.config.services ?? {}).filter(([, service]) => service.nodes.includes(node.name));
    const notes = [
      ...node.alarms.map((alarm) => [alarm.status === "critical" ? "bad" : "warn", `${alarm.status}: ${alarm.name.replaceAll("_", " ")} ${alarm.value}. ${alarm.info}`]),
      ...services.map(([name]) => {
        const { kind, words, entry } = instanceOf(node, name);
        return [kind, [`service ${name}: ${words}`, entry?.release, entry?.healthy ? milliseconds(entry.response) : ""].filter(Boolean).join(" · ")];
      }),
    ];
    const key = JSON.stringify(notes);
    if (key !== this.notes) {
      this.notes = key;
      this.list.replaceChildren(...notes.map(([kind, text]) => make("li", {}, sign(kind), make("span", { text }))));
    }
  }

  showFacts(facts) {
    for (const [label, text] of Object.entries(facts)) {
      let value = this.facts.querySelector(`[data-fact="${label}"]`);
      if (value === null) {
        value = make("dd", { "data-fact": label });
        this.facts.append(make("div", {}, make("dt", { text: label }), value));
      }
      setText(value, text || "–");
    }
  }

  take(name, series, end) {
    if (this.node?.name !== name) {
      return;
    }
    for (const chart of this.charts) {
      chart.take(series, end);
    }
  }

  redraw() {
    palette = null;
    for (const chart of this.charts) {
      chart.plot?.redraw(false, true);
    }
  }

  close() {
    if (this.dialog.open) {
      this.dialog.close();
    }
  }

  closed() {
    this.clear();
    this.watch("");
    if (location.hash.startsWith("#node=")) {
      history.replaceState(null, "", location.pathname + location.search);
    }
  }

  clear() {
    for (const chart of this.charts) {
      chart.destroy();
    }
    this.charts = [];
    this.node = null;
    this.notes = "";
  }
}

function cross() {
  const holder = sign("bad");
  holder.removeAttribute("data-kind");
  return holder.firstElementChild;
}
